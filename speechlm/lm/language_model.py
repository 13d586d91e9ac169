"""Language models ready for use: between text and codes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.lm import joint
from speechlm.lm import vocabulary as names
from speechlm.lm.config import LMConfig
from speechlm.lm.generate.generator import Generator
from speechlm.lm.generate.sampling import COLD, GREEDY, Sampling
from speechlm.lm.model import UnitLM
from speechlm.lm.patterns import below_unknown
from speechlm.lm.tasks import TASKS, Example, Layout
from speechlm.lm.vocabulary import Vocabulary
from speechlm.nn import PackedSequences
from speechlm.types import Codes
from speechlm.units.base import UnitTokenizer
from speechlm.units.load import load as load_units
from speechlm.units.text import FILE as TEXT_MODEL
from speechlm.units.text import TextTokenizer

WORD = 2.0
"""Seconds of a word that is read aloud, at most, with the pause after it."""


@dataclass(frozen=True)
class LikelihoodScore:
    """How probable something is to a model.

    Attributes:
        bits: of information in all, by level of units, or of the one kind of pieces.
        tokens: predicted.
        length: seconds of speech, or characters of text.
    """

    bits: list[float]
    tokens: int
    length: float

    @property
    def rate(self) -> float:
        """Bits a second, or a character; NaN for nothing."""
        return sum(self.bits) / self.length if self.length else math.nan


class LanguageModel:
    """A model with its vocabulary and text tokenizer. Codes are int64 (levels, frames).

    One that plans (:class:`~speechlm.lm.config.LMConfig`) hears and gives codes without its plan.

    Attributes:
        units: what the codes are.
    """

    def __init__(self, network: UnitLM, vocabulary: Vocabulary, text: TextTokenizer):
        self.network = network.eval().requires_grad_(False)
        self.vocabulary, self.text = vocabulary, text
        sound = vocabulary.units.sound if network.config.plans else None
        self.units = sound or vocabulary.units
        self.plans = vocabulary.units.levels - self.units.levels
        """Levels of the plan."""
        self.layout = Layout(vocabulary, network.pattern)
        self.context = network.config.context

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
        network = UnitLM(config)
        if (network.size, text.size) != (vocabulary.size, vocabulary.pieces):
            raise SpeechLMError(f"{folder}: vocabulary and model are of different sizes")
        hub.fill(network, weights, folder)
        return cls(network, vocabulary, text).to(device)

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
        return {name: value for name, value in vars(self).items() if name != "generator"}

    def tokenizer(self, name: str | Path | None = None) -> UnitTokenizer:
        """The tokenizer of these units, to hear and, if it has a vocoder, to speak with.

        Raises:
            SpeechLMError: when ``name`` (None: what the model's configuration names) is that of
                others.
        """
        tokenizer = load_units(
            name or self.network.config.units, self.units.levels, device=self.device
        )
        if tokenizer.units != self.units:
            raise SpeechLMError(
                f"the model speaks {self.units}, not {tokenizer.units}: name the codec, tokenizer "
                "or vocoder with --units"
            )
        return tokenizer

    @cached_property
    def generator(self) -> Generator:
        """Ready to generate, once asked."""
        return Generator(self.network)

    def continue_speech(self, heard: Codes, frames: int, sampling: Sampling) -> Iterator[Codes]:
        """Frames (levels,) that go on after ``heard``, until the speech ends or ``frames`` are."""
        prompt = self.layout.prompt(TASKS["speech"], Example())
        return self._speak(prompt, heard, frames, sampling)

    def say(
        self,
        text: str,
        frames: int,
        sampling: Sampling,
        voice: Codes | None = None,
        unended: list[int] | None = None,
    ) -> Iterator[Codes]:
        """Frames (levels,) of speech that says ``text``, in the voice of other speech.

        A model that reads word by word ends each; ``unended`` gets the numbers of those that it
        went on with until they were cut. Of several attempts, none comes before all are made: the
        one from which the text is most probable, as the model hears it.

        Raises:
            SpeechLMError: when there is no text, or more than the context holds.
        """
        unended = [] if unended is None else unended
        if sampling.attempts is None:
            sampling = replace(sampling, attempts=self.network.config.attempts)
        attempts = 1 if sampling.temperature < COLD else sampling.attempts or 1  # else all alike
        heard = None if voice is None else self._unplanned(voice)
        example = Example(text=self._pieces(text), voice=heard)
        if attempts == 1:
            return self._attempt(example, text, frames, sampling, unended)
        return self._best(example, text, frames, sampling, unended, attempts)

    def _best(
        self,
        example: Example,
        text: str,
        frames: int,
        sampling: Sampling,
        unended: list[int],
        attempts: int,
    ) -> Iterator[Codes]:
        least, best, left = math.inf, list[Codes](), list[int]()
        for attempt in range(attempts):
            cut: list[int] = []
            how = replace(sampling, seed=sampling.seed + (attempt << 32))
            said = list(self._attempt(example, text, frames, how, cut))
            bits = self.text_bits(text, np.stack(said, axis=1)) if said else math.inf
            if attempt == 0 or bits < least:
                least, best, left = bits, said, cut
        unended.extend(left)
        yield from best

    def text_bits(self, text: str, codes: Codes) -> float:
        """The information in a text to one who hears it said; infinite beyond the context.

        Raises:
            SpeechLMError: when there is no text.
        """
        example = Example(speech=self._unplanned(codes), text=self._pieces(text))
        tokens, mask = self.layout.sequence(TASKS["asr"], example)
        if tokens.shape[1] > self.context:
            return math.inf
        return float(self._nll(tokens, mask)[mask].sum()) / math.log(2)

    def _attempt(
        self, example: Example, text: str, frames: int, sampling: Sampling, unended: list[int]
    ) -> Iterator[Codes]:
        voice = example.voice
        name = "read" if self.network.config.reads else "tts"
        prompt = self.layout.prompt(TASKS[name if voice is None else f"{name}-voice"], example)
        if name == "tts":
            return self._speak(prompt, self.nothing, frames, sampling, text=True)
        return self._read(prompt, text, frames, sampling, unended)

    @property
    def nothing(self) -> Codes:
        """No frame."""
        return np.zeros((self.units.levels, 0), np.int64)

    def transcribe(self, codes: Codes) -> str:
        """The most probable text of speech; at most as many pieces as a third of the context.

        By joint decoding if the model has a CTC output, else piece by piece.
        """
        prompt = self.layout.prompt(TASKS["asr"], Example(speech=self._unplanned(codes)))
        pieces, end = self.vocabulary.text, self.vocabulary.id(names.END_OF_TEXT)
        limit = self.context // 3
        if self.network.ctc is None:
            written = self.generator.write([prompt], pieces, end, limit, GREEDY)
            found = [each for [each] in written if each is not None]
        else:
            found = joint.transcribe(
                self.generator, prompt, self._heard(prompt), pieces, end, limit
            )
        return self.text.decode(self.vocabulary.to_pieces(np.array(found, np.int64)))

    @torch.no_grad()
    def _heard(self, prompt: Codes) -> torch.Tensor:
        """What CTC says of a prompt's speech: log-probabilities (columns, pieces + 1)."""
        assert self.network.ctc is not None
        tokens = torch.from_numpy(prompt)[None].to(self.device)
        h = self.network(tokens, PackedSequences(torch.zeros_like(tokens[:, 0])))
        spoken = (tokens[0] >= self.vocabulary.level(0).start).any(dim=0)
        heard: torch.Tensor = self.network.ctc(h[0, spoken]).log_softmax(1)
        return heard

    @property
    def frames_at_once(self) -> int:
        """Frames that leave room for text: two thirds of the context."""
        return self.context * 2 // 3 // self.generator.stride - self.units.levels

    @torch.no_grad()
    def score(self, codes: Codes) -> LikelihoodScore:
        """The information in speech, to a model that knows it must be speech that begins here.

        Where it is longer than the context, it is read in windows that overlap by half: then every
        frame is predicted from at least half a context, as far as there is so much before it.
        """
        frames = codes.shape[1]
        window = (self.context - 1) // self.generator.stride - self.units.levels
        bits = np.zeros(self.units.levels)
        done = start = 0
        while done < frames:
            piece = codes[:, start : start + window]
            bits += self.bits(piece, done - start)
            done = start + piece.shape[1]
            start += window // 2
        return LikelihoodScore(bits.tolist(), codes.size, frames / self.units.frame_rate)

    @torch.no_grad()
    def bits(self, codes: Codes, known: int = 0) -> np.ndarray:
        """Bits (levels,) of ``codes`` after the first ``known`` frames; the context holds all."""
        task = TASKS["speech"]
        heard = self._unplanned(codes)
        tokens = self.layout.sequence(task, Example(speech=heard, whole=False)).tokens
        counted = (heard >= 0).astype(np.int64)
        counted[:, :known] = 0
        laid = self.network.pattern.build(counted) == 1
        mask = np.pad(laid, ((0, 0), (tokens.shape[1] - laid.shape[1], 0)))
        nll = self._nll(tokens, mask)
        levels = (tokens[mask] - self.vocabulary.level(self.plans).start) // self.units.cardinality
        return np.bincount(levels, nll[mask], self.units.levels) / math.log(2)

    @torch.no_grad()
    def score_text(self, text: str) -> LikelihoodScore:
        """The information in a text, its end included.

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
        found: np.ndarray = nll.numpy()
        return found

    def _unplanned(self, codes: Codes) -> Codes:
        """``codes`` below a plan that nobody knows."""
        return below_unknown(codes, self.plans)

    def _pieces(self, text: str) -> list[int]:
        pieces = self.text.encode(text)
        if not pieces:
            raise SpeechLMError("there is no text: give some")
        return pieces

    def _read(
        self, prompt: Codes, text: str, frames: int, sampling: Sampling, unended: list[int]
    ) -> Iterator[Codes]:
        words = [pieces for word in text.split() if (pieces := self.text.encode(word))]
        told = [self.layout.word(pieces) for pieces in words]
        end, rate = self.vocabulary.id(names.END_OF_SPEECH), self.units.frame_rate
        longest = round(WORD * rate)
        read = self.generator.read(prompt, told, end, frames, longest, rate, sampling, unended)
        yield from (frame[self.plans :] for [frame] in read if frame is not None)

    def _speak(
        self, prompt: Codes, heard: Codes, frames: int, sampling: Sampling, text: bool = False
    ) -> Iterator[Codes]:
        end, rate = self.vocabulary.id(names.END_OF_SPEECH), self.units.frame_rate
        given = [self._unplanned(heard)]
        for [frame] in self.generator.speak([prompt], given, end, frames, rate, sampling, text):
            if frame is not None:
                yield frame[self.plans :]
