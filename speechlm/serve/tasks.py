"""What requests compute: iterators of results, run on the computing thread."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from speechlm import audio
from speechlm.bitstream import Reader
from speechlm.compression.decoder import decode
from speechlm.compression.encoder import encode_stream, encode_whole
from speechlm.compression.files import check_model
from speechlm.compression.rate_target import RateTarget
from speechlm.errors import SpeechLMError
from speechlm.lm.generate.sampling import TTS_SAMPLING, Sampling
from speechlm.lm.pipelines import frames_in, transcribe_waves
from speechlm.lm.speech_lm import SpeechLM
from speechlm.serve.formats import AudioEncoder, encode_audio
from speechlm.serve.models import VOICE_SECONDS, Models, Voice
from speechlm.types import Codes

UPLOAD = "the upload"


@dataclass(frozen=True)
class Limits:
    """Largest sizes of what a request brings."""

    seconds: float
    characters: int

    def read(self, data: bytes, rate: int) -> np.ndarray:
        """Decode an uploaded audio file: mono float32 (samples,) at ``rate``.

        Raises:
            SpeechLMError: when it is none, or is longer than the limit.
        """
        if not data:
            raise SpeechLMError(f"{UPLOAD} is empty")
        pieces: list[np.ndarray] = []
        samples = 0
        with audio.Recording(io.BytesIO(data), name=UPLOAD) as recording:
            for piece in recording.pieces(rate):
                pieces.append(piece)
                samples += len(piece)
                if samples > self.seconds * rate:
                    raise SpeechLMError(f"{UPLOAD} has more than {self.seconds:g} s of audio")
        return np.concatenate(pieces)

    def check_text(self, text: str) -> None:
        """Raises: SpeechLMError, when a text is empty or too long."""
        if not text.strip():
            raise SpeechLMError("the text is empty")
        if len(text) > self.characters:
            raise SpeechLMError(
                f"the text has {len(text)} characters, and {self.characters} are the limit"
            )


def speak(
    models: Models, text: str, voice: Voice, sampling: Sampling | None
) -> Iterator[np.ndarray]:
    """Speech of a text, chunk by chunk: float32 (samples,)."""
    for wave in models.speech_lm.stream(
        text=text, speaker=voice(), sampling=sampling or TTS_SAMPLING
    ):
        yield wave.numpy()


def speech(
    models: Models,
    text: str,
    voice: Voice,
    sampling: Sampling | None,
    kind: str,
) -> Iterator[bytes]:
    """:func:`speak` as an audio file."""
    yield from encode_audio(
        speak(models, text, voice, sampling), models.speech_lm.sample_rate, kind
    )


def transcribe(models: Models, limits: Limits, data: bytes) -> Iterator[tuple[str, float]]:
    """The text of an audio file, and its seconds."""
    rate = models.speech_lm.sample_rate
    wave = limits.read(data, rate)
    block = 10 * rate
    waves = [wave[start : start + block] for start in range(0, len(wave), block)]
    text = transcribe_waves(waves, models.speech_lm.model, models.speech_lm.tokenizer)
    yield text, len(wave) / rate


def convert(
    models: Models, limits: Limits, data: bytes, voice: Voice, kind: str
) -> Iterator[bytes]:
    """An audio file in another voice."""
    vocoder = models.vocoder
    rate = vocoder.units.sample_rate
    wave = torch.from_numpy(limits.read(data, rate))[None]
    prompt = voice()

    def chunks() -> Iterator[np.ndarray]:
        stream = vocoder.stream_decoder(None if prompt is None else prompt[None])
        left = wave.shape[1] if vocoder.timed else None
        for block in (*vocoder.encode(wave).split(50, dim=2), None):
            piece = stream.flush() if block is None else stream.push(block)
            sound = piece[0].numpy()[:left]
            left = None if left is None else left - len(sound)
            yield sound

    yield from encode_audio(chunks(), rate, kind)


def compress(
    models: Models, limits: Limits, data: bytes, rate: RateTarget
) -> Iterator[tuple[bytes, float]]:
    """An audio file as a compressed file, and its seconds."""
    codec = models.codec
    wave = limits.read(data, codec.sample_rate)
    file = io.BytesIO()
    write = encode_whole if rate.needs_two_passes(codec) else encode_stream
    write([wave], file, codec, rate)
    yield file.getvalue(), len(wave) / codec.sample_rate


def kbps(compressed: bytes, seconds: float) -> float:
    """Bitrate of a compressed file."""
    return 8e-3 * len(compressed) / seconds


def decompress(models: Models, limits: Limits, data: bytes, kind: str) -> Iterator[bytes]:
    """A compressed file as an audio file."""
    codec = models.codec
    reader = Reader(io.BytesIO(data), False, codec.entropy, UPLOAD)
    check_model(reader.header, codec, UPLOAD)
    pieces: list[np.ndarray] = []
    most = round(limits.seconds * codec.sample_rate)

    def keep(wave: np.ndarray) -> None:
        nonlocal most
        most -= len(wave)
        if most < 0:
            raise SpeechLMError(f"{UPLOAD} has more than {limits.seconds:g} s of audio")
        pieces.append(wave)

    decode(reader, codec, keep)
    yield from encode_audio(pieces, codec.sample_rate, kind)


def uploaded_voice(models: Models, limits: Limits, data: bytes) -> Voice:
    """The voice of an uploaded recording."""

    def read() -> Tensor:
        rate = models.speech_lm.sample_rate
        return torch.from_numpy(limits.read(data, rate)[: round(VOICE_SECONDS * rate)])

    return read


@dataclass(frozen=True)
class SpeechPrompt:
    """Speech to continue: its audio (1, samples), its codes (codebooks, frames), and the request's
    seed and format."""

    wave: Tensor
    codes: Codes
    seed: int
    kind: str


def encode_prompt(
    models: Models, limits: Limits, data: bytes, seed: int, kind: str
) -> Iterator[SpeechPrompt]:
    """The prompt of an audio file."""
    lm = models.speech_lm
    wave = torch.from_numpy(limits.read(data, lm.sample_rate))
    yield SpeechPrompt(*lm.encode_prompt(wave), seed, kind)


def continue_prompts(
    models: Models, prompts: Sequence[SpeechPrompt], seconds: float, sampling: Sampling
) -> Iterator[list[bytes | None]]:
    """Audio files that continue the prompts, in one batch: see
    :data:`~speechlm.serve.scheduler.BatchFunction`."""
    lm = models.speech_lm
    seeded = replace(sampling, seeds=tuple(prompt.seed for prompt in prompts))
    frames = frames_in(seconds, lm.model.units.frame_rate)
    outputs = [_Output(lm, prompt, seconds) for prompt in prompts]
    codes = [prompt.codes for prompt in prompts]
    for batch in lm.model.continue_batch(codes, frames, seeded):
        yield [output.push(frame) for output, frame in zip(outputs, batch, strict=True)]
    yield [output.push(None) for output in outputs]
    yield [output.push(None) for output in outputs]


class _Output:
    """The audio file of one continuation of a batch."""

    def __init__(self, lm: SpeechLM, prompt: SpeechPrompt, seconds: float) -> None:
        self._stream = lm.tokenizer.stream_decoder(prompt.wave)
        self._encoder = AudioEncoder(prompt.kind, lm.sample_rate)
        self._left = round(seconds * lm.sample_rate)
        self._ended = False

    def push(self, frame: Codes | None) -> bytes | None:
        """The bytes that are ready after a frame (codebooks,), None the end; None after that."""
        if self._ended:
            return None
        if frame is not None:
            wave = self._stream.push(torch.from_numpy(frame.copy())[None, :, None])
            return self._encoder.push(self._cut(wave))
        self._ended = True
        return self._encoder.push(self._cut(self._stream.flush())) + self._encoder.flush()

    def _cut(self, wave: Tensor) -> np.ndarray:
        samples: np.ndarray = wave[0].cpu().numpy()[: self._left]
        self._left -= len(samples)
        return samples
