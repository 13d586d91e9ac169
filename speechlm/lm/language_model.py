"""Language models between text and codes: generation, recognition, scoring."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.lm import vocabulary as names
from speechlm.lm.config import LMConfig
from speechlm.lm.generate import ctc_attention as joint
from speechlm.lm.generate.generator import Generator
from speechlm.lm.generate.sampling import GREEDY, Sampling
from speechlm.lm.model import UnitLM
from speechlm.lm.patterns import prepend_unknown_codebooks
from speechlm.lm.tasks import TASKS, Example, TokenLayout
from speechlm.lm.vocabulary import Vocabulary
from speechlm.nn import PackedSequences
from speechlm.text.lm import FILE as TEXT_LM
from speechlm.text.lm import TextLM
from speechlm.tokenizers.base import UnitTokenizer
from speechlm.tokenizers.load import load as load_units
from speechlm.tokenizers.text import FILE as TEXT_MODEL
from speechlm.tokenizers.text import TextTokenizer
from speechlm.types import Codes

MAX_WORD_SECONDS = 2.0
"""Maximum length of a word in word-by-word synthesis, with the pause after it."""


@dataclass(frozen=True)
class LikelihoodScore:
    """A negative log2-likelihood.

    Attributes:
        bits: in total, by level of units; one number for text.
        tokens: number of predicted tokens.
        length: seconds of speech, or characters of text.
    """

    bits: list[float]
    tokens: int
    length: float

    @property
    def rate(self) -> float:
        """Bits per second or per character; NaN for a length of 0."""
        return sum(self.bits) / self.length if self.length else math.nan


class LanguageModel:
    """A model with its vocabulary and text tokenizer. Codes are int64 (codebooks, frames).

    Codes of a model with a semantic stream (:class:`~speechlm.lm.config.LMConfig`) are those of the
    levels below it.

    Attributes:
        units: the units of the codes.
    """

    def __init__(self, network: UnitLM, vocabulary: Vocabulary, text: TextTokenizer):
        self.network = network.eval().requires_grad_(False)
        self.vocabulary, self.text = vocabulary, text
        sound = vocabulary.units.sound if network.config.semantic_stream else None
        self.units = sound or vocabulary.units
        self.num_semantic_codebooks = vocabulary.units.num_codebooks - self.units.num_codebooks
        """Levels of the semantic stream."""
        self.layout = TokenLayout(vocabulary, network.pattern)
        self.context = network.config.max_position_embeddings
        self.fusion = joint.Fusion(
            network.config.ctc_weight, network.config.text_lm_weight, network.config.word_bonus
        )
        self.folder: Path | None = None
        """Where it was loaded from."""
        self.text_lm_file: Path | None = None
        """The text language model of :meth:`transcribe`, set by :meth:`use_text_lm`."""

    @classmethod
    def from_pretrained(
        cls, name: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> LanguageModel:
        """Load a model folder or a hub id; None is the model that the package ships.

        Raises:
            SpeechLMError: when there is no such model, or its files do not fit together.
        """
        folder = hub.find_model(hub.DEFAULT_LM if name is None else name)
        vocabulary = Vocabulary.load(folder)
        text = TextTokenizer.load(folder / TEXT_MODEL)
        config, weights = hub.load_model(folder, LMConfig)
        network = hub.build(lambda: UnitLM(config), weights, folder)
        if (network.size, text.size) != (vocabulary.size, vocabulary.pieces):
            raise SpeechLMError(f"{folder}: vocabulary and model are of different sizes")
        hub.fill(network, weights, folder)
        made = cls(network, vocabulary, text).to(device)
        made.folder = folder
        if (folder / TEXT_LM).is_file():
            made.use_text_lm(folder / TEXT_LM)
        return made

    def use_text_lm(self, file: Path | None, fusion: joint.Fusion | None = None) -> None:
        """Transcribe with a language model of text (None: without one), weighted by ``fusion``.

        Without a ``fusion`` the weights stay as they are. A model folder's own file is used
        unless told otherwise.
        """
        self.text_lm_file = file
        self.fusion = fusion or self.fusion
        vars(self).pop("search", None)

    @property
    def device(self) -> torch.device:
        """Where the model computes. Codes are NumPy's all the same."""
        return self.network.embedding.weight.device

    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Self:
        """Move to a device, or compute in another precision, in place; returns the model."""
        self.network.to(device, dtype)
        vars(self).pop("generator", None)
        return self

    def double(self) -> Self:
        """Compute in float64."""
        return self.to(dtype=torch.float64)

    def __getstate__(self) -> dict[str, Any]:
        made = ("generator", "search")
        return {name: value for name, value in vars(self).items() if name not in made}

    def tokenizer(self, name: str | Path | None = None) -> UnitTokenizer:
        """The tokenizer of these units, which also decodes them if it has a vocoder.

        Raises:
            SpeechLMError: when ``name`` (None: what the model's configuration names) is that of
                others.
        """
        tokenizer = load_units(
            name or self.network.config.units, self.units.num_codebooks, device=self.device
        )
        if tokenizer.units != self.units:
            raise SpeechLMError(
                f"the model speaks {self.units}, not {tokenizer.units}: name the codec, tokenizer "
                "or vocoder with --units"
            )
        return tokenizer

    @cached_property
    def generator(self) -> Generator:
        """The generator, created on first use."""
        return Generator(self.network)

    @cached_property
    def search(self) -> joint.PrefixSearch:
        """What finds texts by the CTC output.

        Raises:
            SpeechLMError: when the language model of text cannot be read.
        """
        text_lm = None if self.text_lm_file is None else TextLM.load(self.text_lm_file)
        return joint.PrefixSearch(self.text.spellings, text_lm, self.fusion)

    def continue_speech(self, past: Codes, frames: int, sampling: Sampling) -> Iterator[Codes]:
        """Continue speech by up to ``frames`` frames (codebooks,), until the model ends it."""
        for [frame] in self.continue_batch([past], frames, sampling):
            if frame is not None:
                yield frame

    def continue_batch(
        self, pasts: Sequence[Codes], frames: int, sampling: Sampling
    ) -> Iterator[list[Codes | None]]:
        """:meth:`continue_speech` of several recordings together; None once one has ended."""
        prompt = self.layout.prompt(TASKS["speech"], Example())
        return self._generate_speech([prompt] * len(pasts), pasts, frames, sampling)

    def synthesize(
        self,
        text: str,
        frames: int,
        sampling: Sampling,
        voice: Codes | None = None,
        truncated: list[int] | None = None,
    ) -> Iterator[Codes]:
        """Synthesise ``text`` as frames (codebooks,), in the voice of the codes ``voice``.

        In word-by-word synthesis, ``truncated`` receives the indices of words that the model did
        not end. With ``best_of`` candidates, all are generated before the first frame is returned:
        the one from which the model's ASR scores the text highest.

        Raises:
            SpeechLMError: when there is no text, or more than the context holds.
        """
        truncated = [] if truncated is None else truncated
        if sampling.best_of is None:
            sampling = replace(sampling, best_of=self.network.config.best_of)
        best_of = 1 if sampling.is_greedy else sampling.best_of or 1  # else all are the same
        prompt = None if voice is None else self._with_unknown_semantic(voice)
        example = Example(text=self._pieces(text), voice=prompt)
        if best_of == 1:
            return self._candidate(example, text, frames, sampling, truncated)
        return self._best_of(example, text, frames, sampling, truncated, best_of)

    def _best_of(
        self,
        example: Example,
        text: str,
        frames: int,
        sampling: Sampling,
        truncated: list[int],
        best_of: int,
    ) -> Iterator[Codes]:
        lowest, best, best_truncated = math.inf, list[Codes](), list[int]()
        for candidate in range(best_of):
            cut: list[int] = []
            seeded = replace(sampling, seed=sampling.seed + (candidate << 32))
            generated = list(self._candidate(example, text, frames, seeded, cut))
            bits = self.text_bits(text, np.stack(generated, axis=1)) if generated else math.inf
            if candidate == 0 or bits < lowest:
                lowest, best, best_truncated = bits, generated, cut
        truncated.extend(best_truncated)
        yield from best

    def text_bits(self, text: str, codes: Codes) -> float:
        """Negative log2-likelihood of a text given its speech; infinite beyond the context.

        Raises:
            SpeechLMError: when there is no text.
        """
        example = Example(speech=self._with_unknown_semantic(codes), text=self._pieces(text))
        tokens, mask = self.layout.sequence(TASKS["asr"], example)
        if tokens.shape[1] > self.context:
            return math.inf
        return float(self._nll(tokens, mask)[mask].sum()) / math.log(2)

    def _candidate(
        self, example: Example, text: str, frames: int, sampling: Sampling, truncated: list[int]
    ) -> Iterator[Codes]:
        voice = example.voice
        name = "tts-wordwise" if self.network.config.wordwise_tts else "tts"
        prompt = self.layout.prompt(TASKS[name if voice is None else f"{name}-voice"], example)
        if name == "tts":
            generated = self._generate_speech(
                [prompt], [self.no_codes], frames, sampling, text=True
            )
            return (frame for [frame] in generated if frame is not None)
        return self._generate_wordwise(prompt, text, frames, sampling, truncated)

    @property
    def no_codes(self) -> Codes:
        """Codes of no frames (codebooks, 0)."""
        return np.zeros((self.units.num_codebooks, 0), np.int64)

    def transcribe(self, codes: Codes) -> str:
        """The text of speech, of at most as many tokens as a third of the context.

        By joint CTC/attention decoding if the model has a CTC output, else greedily.
        """
        prompt = self.layout.prompt(
            TASKS["asr"], Example(speech=self._with_unknown_semantic(codes))
        )
        pieces, end = self.vocabulary.text, self.vocabulary.id(names.END_OF_TEXT)
        limit = self.context // 3
        if self.network.ctc is None:
            written = self.generator.generate_text([prompt], pieces, end, limit, GREEDY)
            ids = [each for [each] in written if each is not None]
        else:
            ids = joint.transcribe(
                self.generator,
                prompt,
                self._ctc_log_probs(prompt),
                pieces,
                end,
                limit,
                self.search,
            )
        return self.text.decode(self.vocabulary.to_pieces(np.array(ids, np.int64)))

    @torch.no_grad()
    def _ctc_log_probs(self, prompt: Codes) -> torch.Tensor:
        """CTC log-probabilities (columns, pieces + 1) of the speech in a prompt."""
        assert self.network.ctc is not None
        tokens = torch.from_numpy(prompt)[None].to(self.device)
        h = self.network(tokens, PackedSequences(torch.zeros_like(tokens[:, 0])))
        spoken = (tokens[0] >= self.vocabulary.level(0).start).any(dim=0)
        log_probs: torch.Tensor = self.network.ctc(h[0, spoken]).log_softmax(1)
        return log_probs

    @property
    def max_asr_frames(self) -> int:
        """Maximum number of frames for recognition: two thirds of the context."""
        return self.context * 2 // 3 // self.generator.stride - self.units.num_codebooks

    @torch.no_grad()
    def score(self, codes: Codes) -> LikelihoodScore:
        """Negative log2-likelihood of speech, given that it is speech and starts here.

        Beyond the context, windows that overlap by half are scored: every frame is predicted from
        at least half a context, where so much precedes it.
        """
        frames = codes.shape[1]
        window = (self.context - 1) // self.generator.stride - self.units.num_codebooks
        bits = np.zeros(self.units.num_codebooks)
        done = start = 0
        while done < frames:
            piece = codes[:, start : start + window]
            bits += self.bits(piece, done - start)
            done = start + piece.shape[1]
            start += window // 2
        return LikelihoodScore(bits.tolist(), codes.size, frames / self.units.frame_rate)

    @torch.no_grad()
    def bits(self, codes: Codes, known: int = 0) -> np.ndarray:
        """Bits (codebooks,) of ``codes`` after the first ``known`` frames; the context holds all of
        them."""
        task = TASKS["speech"]
        full = self._with_unknown_semantic(codes)
        tokens = self.layout.sequence(task, Example(speech=full, complete=False)).tokens
        counted = (full >= 0).astype(np.int64)
        counted[:, :known] = 0
        laid = self.network.pattern.build(counted) == 1
        mask = np.pad(laid, ((0, 0), (tokens.shape[1] - laid.shape[1], 0)))
        nll = self._nll(tokens, mask)
        first = self.vocabulary.level(self.num_semantic_codebooks).start
        codebooks = (tokens[mask] - first) // self.units.codebook_size
        return np.bincount(codebooks, nll[mask], self.units.num_codebooks) / math.log(2)

    @torch.no_grad()
    def score_text(self, text: str) -> LikelihoodScore:
        """Negative log2-likelihood of a text, its end included.

        Raises:
            SpeechLMError: when there is none, or more than the context holds.
        """
        tokens, mask = self.layout.sequence(TASKS["text"], Example(text=self._pieces(text)))
        if tokens.shape[1] > self.context:
            raise SpeechLMError(
                f"a text of {tokens.shape[1]} pieces: this model reads {self.context}"
            )
        nll = self._nll(tokens, mask)[mask]
        return LikelihoodScore(
            [float(nll.sum()) / math.log(2)], len(nll), len(self.text.normalise(text))
        )

    def _nll(self, tokens: Codes, mask: np.ndarray) -> np.ndarray:
        batch, asked = (torch.from_numpy(each)[None].to(self.device) for each in (tokens, mask))
        nll = self.network.nll(batch, asked, torch.zeros_like(batch[:, 0]))[0].cpu()
        values: np.ndarray = nll.numpy()
        return values

    def _with_unknown_semantic(self, codes: Codes) -> Codes:
        """``codes`` below unknown codes of the semantic stream."""
        return prepend_unknown_codebooks(codes, self.num_semantic_codebooks)

    def _pieces(self, text: str) -> list[int]:
        pieces = self.text.encode(text)
        if not pieces:
            raise SpeechLMError("there is no text: give some")
        return pieces

    def _generate_wordwise(
        self, prompt: Codes, text: str, frames: int, sampling: Sampling, truncated: list[int]
    ) -> Iterator[Codes]:
        words = [pieces for word in text.split() if (pieces := self.text.encode(word))]
        given = [self.layout.word_prompt(pieces) for pieces in words]
        end, rate = self.vocabulary.id(names.END_OF_SPEECH), self.units.frame_rate
        longest = round(MAX_WORD_SECONDS * rate)
        read = self.generator.generate_wordwise(
            prompt, given, end, frames, longest, rate, sampling, truncated
        )
        yield from (frame[self.num_semantic_codebooks :] for [frame] in read if frame is not None)

    def _generate_speech(
        self,
        prompts: Sequence[Codes],
        pasts: Sequence[Codes],
        frames: int,
        sampling: Sampling,
        text: bool = False,
    ) -> Iterator[list[Codes | None]]:
        end, rate = self.vocabulary.id(names.END_OF_SPEECH), self.units.frame_rate
        given = [self._with_unknown_semantic(past) for past in pasts]
        for batch in self.generator.generate_speech(
            prompts, given, end, frames, rate, sampling, text
        ):
            yield [
                None if frame is None else frame[self.num_semantic_codebooks :] for frame in batch
            ]
