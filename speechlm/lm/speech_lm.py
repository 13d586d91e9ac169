"""A speech language model with its tokenizer: waveforms and texts in, waveforms and texts out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from speechlm.codec.base import check_tensor
from speechlm.errors import SpeechLMError
from speechlm.lm import pipelines
from speechlm.lm.generate.sampling import TTS_SAMPLING, Sampling
from speechlm.lm.language_model import LanguageModel, LikelihoodScore
from speechlm.publish import Publishable
from speechlm.tokenizers.base import UnitTokenizer
from speechlm.types import Codes


@dataclass(frozen=True)
class Generated:
    """Generated speech.

    Attributes:
        wave: float32 (1, samples).
        sample_rate: in Hz.
        tokens: int64 (codebooks, frames), without those of the prompt.
        finished: whether the model ended the speech, rather than the limit of its length.
    """

    wave: Tensor
    sample_rate: int
    tokens: Tensor
    finished: bool


class SpeechLM(Publishable):
    """Speech continuation, text to speech, speech recognition and scoring with one model.

    Waveforms are float (samples,) or (1, samples) at ``sample_rate``.
    """

    def __init__(self, model: LanguageModel, tokenizer: UnitTokenizer):
        self.model, self.tokenizer = model, tokenizer
        self.folder = model.folder

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path | None = None,
        units: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> SpeechLM:
        """Load a model folder, a shipped model or a hub id; None is the default language model.

        Args:
            units: the codec, tokenizer or vocoder of its units; None: the one in its folder.
            device: where the model and its tokenizer compute.

        Raises:
            SpeechLMError: when there is no such model, or its files do not fit together.
        """
        model = LanguageModel.from_pretrained(name, device)
        return cls(model, model.tokenizer(units))

    @property
    def device(self) -> torch.device:
        """Where the model computes; what it returns is on the CPU."""
        return self.model.device

    def to(self, device: str | torch.device) -> Self:
        """Move the model and its tokenizer to a device, in place; returns the object."""
        self.model.to(device)
        self.tokenizer.to(device)
        return self

    @property
    def sample_rate(self) -> int:
        """Of all waveforms, in Hz."""
        return self.tokenizer.units.sample_rate

    def generate(
        self,
        text: str | None = None,
        speech: Tensor | None = None,
        speaker: Tensor | None = None,
        max_seconds: float | None = None,
        sampling: Sampling | None = None,
    ) -> Generated:
        """Synthesise ``text``, or continue ``speech``.

        Args:
            text: to synthesise, of any length.
            speech: prompt to continue; the model sees at most half of its context.
            speaker: recording of the target speaker, for ``text``.
            max_seconds: maximum length of what is generated; None: 8 for ``speech``, as long as it
                takes for ``text``.
            sampling: how units are sampled; None: the default of the task.

        Raises:
            SpeechLMError: unless one of ``text`` and ``speech`` is given; for a text or waveform
                that is empty; for a length that is not positive.
        """
        return self._generated(self._session(text, speech, speaker, max_seconds, sampling))

    def continue_batch(
        self,
        speeches: Sequence[Tensor],
        max_seconds: float = 8.0,
        sampling: Sampling | None = None,
    ) -> list[Generated]:
        """Continue several recordings of any lengths, together.

        Each is as :meth:`generate` continues it alone; example i uses the seed ``seed + i``.

        Raises:
            SpeechLMError: for a waveform that is empty; for a length that is not positive.
        """
        limit = pipelines.frames_in(max_seconds, self.model.units.frame_rate)
        prompts = [self.encode_prompt(speech) for speech in speeches]
        codes = [each for _, each in prompts]
        frames: list[list[Codes]] = [[] for _ in prompts]
        if prompts:
            for batch in self.model.continue_batch(codes, limit + 1, sampling or Sampling()):
                for example, frame in zip(frames, batch, strict=True):
                    if frame is not None:
                        example.append(frame)
        return [
            self._generated(_Session(self.tokenizer, iter(example), limit, wave))
            for example, (wave, _) in zip(frames, prompts, strict=True)
        ]

    def stream(
        self,
        text: str | None = None,
        speech: Tensor | None = None,
        speaker: Tensor | None = None,
        max_seconds: float | None = None,
        sampling: Sampling | None = None,
    ) -> Iterator[Tensor]:
        """Chunks (samples,) of what :meth:`generate` returns with these arguments, as they come."""
        return self._session(text, speech, speaker, max_seconds, sampling).waves()

    def transcribe(self, wave: Tensor) -> str:
        """The text of speech of any length.

        Raises:
            SpeechLMError: when ``wave`` is no waveform.
        """
        return pipelines.transcribe_waves([_samples(wave).numpy()], self.model, self.tokenizer)

    def score(self, wave: Tensor | None = None, text: str | None = None) -> LikelihoodScore:
        """Negative log2-likelihood of speech, of a text, or of a text given its speech.

        ``bits`` in total; ``rate`` in bits a second of speech, or a character of text.

        Raises:
            SpeechLMError: when neither is given; for what exceeds the context.
        """
        if wave is None:
            if text is None:
                raise SpeechLMError("score: give a waveform or a text")
            return self.model.score_text(text)
        samples = _samples(wave)
        if text is not None:
            return pipelines.score_transcript(samples.numpy(), text, self.model, self.tokenizer)
        codes = self.tokenizer.encode(samples[None])[0].cpu().numpy()
        return replace(self.model.score(codes), length=len(samples) / self.sample_rate)

    def _generated(self, session: _Session) -> Generated:
        waves = list(session.waves())
        wave = torch.cat(waves)[None] if waves else torch.zeros(1, 0)
        tokens = np.stack(session.frames, axis=1) if session.frames else self.model.no_codes
        return Generated(wave, self.sample_rate, torch.from_numpy(tokens), session.finished)

    def _session(
        self,
        text: str | None,
        speech: Tensor | None,
        speaker: Tensor | None,
        max_seconds: float | None,
        sampling: Sampling | None,
    ) -> _Session:
        if (text is None) == (speech is None):
            raise SpeechLMError("generate: give a text, or speech to continue")
        if speech is not None and speaker is not None:
            raise SpeechLMError("generate: a speaker goes with a text; speech has its own")
        rate = self.model.units.frame_rate
        prompt = speech if speech is not None else speaker
        wave, codes = (None, None) if prompt is None else self.encode_prompt(prompt)
        if text is not None:
            limit = None if max_seconds is None else pipelines.frames_in(max_seconds, rate)
            frames = pipelines.speech_frames(text, self.model, codes, sampling or TTS_SAMPLING)
        else:
            assert codes is not None
            limit = pipelines.frames_in(8.0 if max_seconds is None else max_seconds, rate)
            frames = self.model.continue_speech(codes, limit + 1, sampling or Sampling())
        return _Session(self.tokenizer, frames, limit, wave)

    def encode_prompt(self, wave: Tensor) -> tuple[Tensor, Codes]:
        """A prompt as (1, samples), and the codes (codebooks, frames) of its complete frames.

        Raises:
            SpeechLMError: when it is shorter than a frame.
        """
        samples = _samples(wave)[None]
        codes = self.tokenizer.begin(samples)
        if codes.shape[2] == 0:
            hop_length = self.tokenizer.units.hop_length
            raise SpeechLMError(f"the prompt is shorter than a frame of {hop_length} samples")
        return samples, codes[0].cpu().numpy()


class _Session:
    """A generation: its ``frames`` so far, and whether it ``finished`` before the limit."""

    def __init__(
        self,
        tokenizer: UnitTokenizer,
        source: Iterator[Codes],
        limit: int | None,
        prompt: Tensor | None,
    ):
        self.frames: list[Codes] = []
        self.finished = False
        self._tokenizer, self._source, self._limit = tokenizer, source, limit
        self._prompt = prompt

    def waves(self) -> Iterator[Tensor]:
        stream = self._tokenizer.stream_decoder(self._prompt)
        for frame in self._source:
            if self._limit is not None and len(self.frames) >= self._limit:
                break
            self.frames.append(frame)
            wave = stream.push(torch.from_numpy(frame.copy())[None, :, None])[0].cpu()
            if len(wave):
                yield wave
        else:
            self.finished = True
        wave = stream.flush()[0].cpu()
        if len(wave):
            yield wave


def _samples(wave: Tensor) -> Tensor:
    """A waveform as float32 (samples,) on the CPU.

    Raises:
        SpeechLMError: when it is none.
    """
    check_tensor(wave)
    if (
        not torch.is_floating_point(wave)
        or wave.ndim not in (1, 2)
        or wave.shape[:-1] not in ((), (1,))
    ):
        raise SpeechLMError(
            f"a waveform is a float tensor (samples,) or (1, samples), not {wave.dtype} "
            f"{tuple(wave.shape)}"
        )
    if not wave.numel():
        raise SpeechLMError("the waveform holds no samples")
    return wave.reshape(-1).float().cpu()
