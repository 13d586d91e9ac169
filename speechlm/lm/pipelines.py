"""Pipelines of a language model: recordings and texts in, recordings and texts out."""

from __future__ import annotations

import math
import re
import textwrap
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from speechlm import audio
from speechlm.errors import SpeechLMError
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.language_model import LanguageModel, LikelihoodScore
from speechlm.text.normalize import normalize, to_words
from speechlm.text.sentences import split_sentences
from speechlm.tokenizers.base import UnitStream, UnitTokenizer
from speechlm.types import Codes

SECONDS_PER_CHARACTER = 0.2
"""Maximum seconds of speech per character of text, plus two: half the usual speech rate."""

PIECE = 20.0
"""Seconds of a recording that are transcribed at once, at most."""
AUDIBLE = -60.0
"""Decibels below full scale under which there is no speech."""


@dataclass(frozen=True)
class GenerationTiming:
    """Seconds of audio generated, of wall time until its first chunk, and of wall time in all."""

    seconds: float
    first_seconds: float
    wall_seconds: float

    @property
    def rtf(self) -> float:
        """Real-time factor: wall time per second of audio; NaN for none."""
        return self.wall_seconds / self.seconds if self.seconds else math.nan


def continue_recording(
    source: Path,
    target: Path,
    model: LanguageModel,
    tokenizer: UnitTokenizer,
    seconds: float,
    sampling: Sampling,
) -> GenerationTiming:
    """Write ``source``, resynthesised from its units, and a continuation of up to ``seconds``.

    Of a recording beyond three quarters of the context, the model sees the last half context.

    Raises:
        SpeechLMError: when the source cannot be read or the target not be written, or for a
            length that is not positive.
    """
    units = model.units
    most = frames_in(seconds, units.frame_rate)
    wave, codes = encode_prompt(source, tokenizer)
    stream = tokenizer.stream_decoder(wave)
    with audio.AudioWriter(target, tokenizer.units.sample_rate) as writer:
        for piece in np.array_split(codes, 1 + codes.shape[1] // 500, axis=1):
            writer.write(stream.push(torch.from_numpy(piece)[None])[0].cpu().numpy())
        frames = model.continue_speech(codes, most, sampling)
        # Units that differ in length are so many a second on average alone.
        longest = seconds if units.variable else math.inf
        return _write(decode_frames(frames, stream), writer, units.sample_rate, longest)


def synthesize(
    text: str,
    target: Path,
    model: LanguageModel,
    tokenizer: UnitTokenizer,
    voice: Path | None,
    sampling: Sampling,
) -> GenerationTiming:
    """Synthesise ``text`` to a file, in the voice of a recording or in one that the model samples.

    :func:`speech_frames` describes how the text is normalised and split.

    Raises:
        SpeechLMError: when the text has no reading, a file cannot be read, or the target not be
            written.
    """
    wave, codes = (None, None) if voice is None else encode_prompt(voice, tokenizer)
    stream = tokenizer.stream_decoder(wave)
    with audio.AudioWriter(target, tokenizer.units.sample_rate) as writer:
        frames = decode_frames(speech_frames(text, model, codes, sampling), stream)
        return _write(frames, writer, tokenizer.units.sample_rate)


def transcribe(source: Path, model: LanguageModel, tokenizer: UnitTokenizer) -> str:
    """The text of a recording of any length, in constant memory.

    One of more than :data:`PIECE` seconds is cut where it is quiet. Parts without speech have no
    text.

    Raises:
        SpeechLMError: when the source cannot be read.
    """
    return transcribe_waves(audio.blocks(source, tokenizer.units.sample_rate), model, tokenizer)


def transcribe_waves(
    waves: Iterable[np.ndarray], model: LanguageModel, tokenizer: UnitTokenizer
) -> str:
    """The text of consecutive chunks (samples,) of a recording, as :func:`transcribe`."""
    hop_length = tokenizer.units.hop_length
    texts = []
    longest = min(model.max_asr_frames * hop_length, round(PIECE * tokenizer.units.sample_rate))
    for piece in quiet_cuts(waves, longest, hop_length):
        if not is_audible(piece, hop_length):
            continue
        units = tokenizer.encode(torch.from_numpy(piece)[None])
        texts.append(model.transcribe(units[0, :, : model.max_asr_frames].cpu().numpy()))
    return " ".join(texts).strip()


def score(source: Path, model: LanguageModel, tokenizer: UnitTokenizer) -> LikelihoodScore:
    """Negative log2-likelihood of a recording.

    Raises:
        SpeechLMError: when the source cannot be read.
    """
    rate = tokenizer.units.sample_rate
    wave, _ = audio.read(source, rate)
    likelihood = model.score(tokenizer.encode(torch.from_numpy(wave)[None])[0].cpu().numpy())
    return replace(likelihood, length=len(wave) / rate)  # of which the last frame may be a part


def score_transcript(
    wave: np.ndarray, text: str, model: LanguageModel, tokenizer: UnitTokenizer
) -> LikelihoodScore:
    """Negative log2-likelihood of a text, its end included, given its speech (samples,).

    Raises:
        SpeechLMError: when there is no text, or both together exceed the context.
    """
    codes = tokenizer.encode(torch.from_numpy(wave)[None])[0].cpu().numpy()
    bits = model.text_bits(text, codes)
    if math.isinf(bits):
        raise SpeechLMError(
            f"{len(wave) / tokenizer.units.sample_rate:.1f} s of speech and the text exceed the "
            f"model's context of {model.context} positions: score a part of them"
        )
    return LikelihoodScore(
        [bits], len(model.text.encode(text)) + 1, len(model.text.normalise(text))
    )


def encode_prompt(source: Path, tokenizer: UnitTokenizer) -> tuple[torch.Tensor, Codes]:
    """A recording (1, samples) and the codes of its complete frames.

    Raises:
        SpeechLMError: when it cannot be read, or has no whole frame.
    """
    wave = torch.from_numpy(audio.read(source, tokenizer.units.sample_rate)[0])[None]
    codes = tokenizer.begin(wave)
    if codes.shape[2] == 0:
        raise SpeechLMError(
            f"{source}: is shorter than a frame of {tokenizer.units.hop_length} samples"
        )
    return wave, codes[0].cpu().numpy()


def decode_frames(frames: Iterator[Codes], stream: UnitStream) -> Iterator[np.ndarray]:
    """Chunks (samples,) of audio, frame (codebooks,) by frame; a chunk may be empty."""
    for frame in frames:
        yield stream.push(torch.from_numpy(frame.copy())[None, :, None])[0].cpu().numpy()
    yield stream.flush()[0].cpu().numpy()


def _write(
    waves: Iterator[np.ndarray], writer: audio.AudioWriter, rate: int, seconds: float = math.inf
) -> GenerationTiming:
    """Write ``waves``, at most ``seconds`` of them."""
    start = time.perf_counter()
    first = samples = 0.0
    for wave in waves:
        if samples == 0 and len(wave):
            first = time.perf_counter() - start
        if samples + len(wave) > seconds * rate:
            wave = wave[: round(seconds * rate - samples)]
        samples += len(wave)
        writer.write(wave)
        if samples >= seconds * rate:
            break
    return GenerationTiming(samples / rate, first, time.perf_counter() - start)


def speech_frames(
    text: str, model: LanguageModel, voice: Codes | None, sampling: Sampling
) -> Iterator[Codes]:
    """Frames (codebooks,) of speech of ``text``, as they are generated.

    Numbers, dates, money, abbreviations and addresses are read as words
    (:mod:`speechlm.text.normalize`). Each sentence is synthesised by itself, so that the first
    frame takes no longer than the first sentence; without a ``voice``, codes (codebooks, frames) of
    a recording, those after the first get the voice of the first.

    Raises:
        SpeechLMError: when the text has no reading.
    """
    return _sentence_frames(to_sentences(text, model), model, voice, sampling)


def to_sentences(text: str, model: LanguageModel) -> list[str]:
    """The sentences of a text, normalised, in the characters that the model was trained on.

    Raises:
        SpeechLMError: when the text has no reading.
    """
    to_words(text)  # errors and warnings, for all of it
    readings = [normalize(sentence).text for sentence in split_sentences(text)]
    sentences = [known for reading in readings if (known := model.text.known(reading))]
    if not sentences:
        raise SpeechLMError(f"this model was trained on no character of {text!r}")
    return sentences


def _sentence_frames(
    sentences: Iterable[str], model: LanguageModel, voice: Codes | None, sampling: Sampling
) -> Iterator[Codes]:
    rate, stride = model.units.frame_rate, model.generator.stride
    room = int(model.context // 2 / (1 + SECONDS_PER_CHARACTER / 2 * rate * stride))
    longest = model.context // 4 // stride
    for part in (part for each in sentences for part in text_parts(each, max(room, 1))):
        given = None if voice is None else voice[:, :longest]
        generated = []
        for frame in model.synthesize(part, max_frames(part, rate), sampling, given):
            generated.append(frame)
            yield frame
        if voice is None and generated:
            voice = np.stack(generated, axis=1)


def frames_in(seconds: float, rate: float) -> int:
    """Number of frames in ``seconds`` at ``rate`` frames per second: at least one.

    Raises:
        SpeechLMError: unless the seconds are above 0, and finite.
    """
    if not 0 < seconds * rate < math.inf:
        raise SpeechLMError(f"seconds is above 0 and finite, not {seconds:g}")
    return max(round(seconds * rate), 1)


def max_frames(text: str, rate: float) -> int:
    """Maximum number of frames of a text at ``rate`` frames per second."""
    return round((2 + SECONDS_PER_CHARACTER * len(text)) * rate)


def text_parts(text: str, size: int) -> list[str]:
    """Split a text into parts of up to ``size`` characters, at sentences, else at words."""
    parts: list[str] = []
    for sentence in re.split(r"(?<=[.!?;:])\s+", text.strip()):
        for piece in textwrap.wrap(sentence, size):
            if parts and len(parts[-1]) + 1 + len(piece) <= size:
                parts[-1] += " " + piece
            else:
                parts.append(piece)
    return parts


def is_audible(wave: np.ndarray, hop_length: int) -> bool:
    """Whether ``hop_length`` samples anywhere in a wave (samples,) reach :data:`AUDIBLE`, offset
    aside."""
    wave = np.pad(wave - wave.mean() if len(wave) else wave, (0, -len(wave) % hop_length))
    power = np.square(wave.reshape(-1, hop_length)).mean(axis=1)
    return bool((power >= 10 ** (AUDIBLE / 10)).any())


def quiet_cuts(waves: Iterable[np.ndarray], size: int, hop_length: int) -> Iterator[np.ndarray]:
    """Split audio into pieces of up to ``size`` samples, at the quietest point of the last quarter.

    Power is averaged over five steps of ``hop_length`` samples. At most a piece and a chunk of
    ``waves`` are in memory.
    """
    held = np.zeros(0, np.float32)
    for wave in waves:
        held = np.concatenate([held, wave])
        while len(held) > size:
            late = held[size * 3 // 4 : size]
            power = np.square(
                late[: len(late) // hop_length * hop_length].reshape(-1, hop_length)
            ).mean(axis=1)
            level = np.convolve(power, np.ones(5), "same") if len(power) >= 5 else power
            cut = size * 3 // 4 + (int(level.argmin()) if len(level) else 0) * hop_length
            yield held[:cut]
            held = held[cut:]
    yield held
