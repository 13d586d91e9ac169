"""What the command line does with a language model: sound files in, sound files and text out."""

from __future__ import annotations

import math
import re
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechlm import audio
from speechlm.codec import Codec, StreamDecoder
from speechlm.errors import SpeechLMError
from speechlm.lm.load import LanguageModel, Score
from speechlm.lm.patterns import Codes
from speechlm.lm.sampling import Sampling

CHARACTER = 0.2
"""Seconds that saying a character may take, and the whole two more: half as fast as speech is."""


@dataclass(frozen=True)
class Spoken:
    """Seconds of sound that were generated; of work on all, and until the first of it came."""

    seconds: float
    first: float
    work: float

    @property
    def rtf(self) -> float:
        """Work for a second of sound; NaN for none."""
        return self.work / self.seconds if self.seconds else math.nan


def continue_recording(
    source: Path, target: Path, model: LanguageModel, codec: Codec, seconds: float, how: Sampling
) -> Spoken:
    """Write ``source``, as the codec gives it back, and up to ``seconds`` of speech that goes on.

    Of a recording beyond three quarters of the context, the model hears the last half context.

    Raises:
        SpeechLMError: when the source cannot be read or the target not be written.
    """
    if not seconds > 0:
        raise SpeechLMError(f"seconds is above 0, not {seconds:g}")
    heard = begin_of(source, model, codec)
    stream = codec.stream_decoder()
    with audio.Writer(target, codec.sample_rate) as writer:
        for piece in np.array_split(heard, 1 + heard.shape[1] // 500, axis=1):
            writer.write(stream.push(torch.from_numpy(piece)[None])[0].cpu().numpy())
        frames = model.continue_speech(heard, round(seconds * codec.frame_rate), how)
        return _write(sound(frames, stream), writer, codec)


def say(
    text: str, target: Path, model: LanguageModel, codec: Codec, voice: Path | None, how: Sampling
) -> Spoken:
    """Write speech that says ``text``, in the voice of a recording, or in one that the model picks.

    A text beyond the context is said in parts, and those after the first in the voice of the first.

    Raises:
        SpeechLMError: when there is no text, a file cannot be read, or the target not be written.
    """
    heard = None if voice is None else begin_of(voice, model, codec)
    stream = codec.stream_decoder()
    with audio.Writer(target, codec.sample_rate) as writer:
        return _write(sound(_said(text, model, heard, how), stream), writer, codec)


def transcribe(source: Path, model: LanguageModel, codec: Codec) -> str:
    """The text of a recording.

    One that leaves the context no room for its text is cut where it is quiet.

    Raises:
        SpeechLMError: when the source cannot be read.
    """
    wave, _ = audio.read(source, codec.sample_rate)
    found = []
    for piece in quiet_cuts(wave, model.frames_at_once * codec.hop, codec.hop):
        units = codec.encode(torch.from_numpy(piece)[None], levels=model.units.levels)
        found.append(model.transcribe(units[0, :, : model.frames_at_once].cpu().numpy()))
    return " ".join(found).strip()


def score(source: Path, model: LanguageModel, codec: Codec) -> Score:
    """The information in a recording, to the model.

    Raises:
        SpeechLMError: when the source cannot be read.
    """
    wave, _ = audio.read(source, codec.sample_rate)
    units = codec.encode(torch.from_numpy(wave)[None], levels=model.units.levels)
    return model.score(units[0].cpu().numpy())


def begin_of(source: Path, model: LanguageModel, codec: Codec) -> Codes:
    """Codes of the whole frames of a recording: more may follow, so nothing is filled up.

    Raises:
        SpeechLMError: when it cannot be read, or has no whole frame.
    """
    stream = codec.stream_encoder(levels=model.units.levels)
    blocks = audio.blocks(source, codec.sample_rate)
    codes = torch.cat([stream.push(torch.from_numpy(block)[None]) for block in blocks], dim=2)
    if codes.shape[2] == 0:
        raise SpeechLMError(f"{source}: is shorter than a frame of {codec.hop} samples")
    return codes[0].cpu().numpy()


def sound(frames: Iterator[Codes], stream: StreamDecoder) -> Iterator[np.ndarray]:
    """Sound (samples,) of each frame (levels,) as it comes; some frames give none yet."""
    for frame in frames:
        yield stream.push(torch.from_numpy(frame.copy())[None, :, None])[0].cpu().numpy()
    yield stream.flush()[0].cpu().numpy()


def _write(waves: Iterator[np.ndarray], writer: audio.Writer, codec: Codec) -> Spoken:
    start = time.perf_counter()
    first = samples = 0.0
    for wave in waves:
        if samples == 0 and len(wave):
            first = time.perf_counter() - start
        samples += len(wave)
        writer.write(wave)
    return Spoken(samples / codec.sample_rate, first, time.perf_counter() - start)


def _said(text: str, model: LanguageModel, voice: Codes | None, how: Sampling) -> Iterator[Codes]:
    rate, stride = model.units.frame_rate, model.generator.stride
    room = int(model.context // 2 / (1 + CHARACTER / 2 * rate * stride))
    longest = model.context // 4 // stride
    for part in text_parts(text, max(room, 1)) or [""]:
        given = None if voice is None else voice[:, :longest]
        said = []
        for frame in model.say(part, round((2 + CHARACTER * len(part)) * rate), how, given):
            said.append(frame)
            yield frame
        if voice is None and said:
            voice = np.stack(said, axis=1)


def text_parts(text: str, size: int) -> list[str]:
    """A text in parts of up to ``size`` characters: sentences where they fit, words otherwise."""
    parts: list[str] = []
    for sentence in re.split(r"(?<=[.!?;:])\s+", text.strip()):
        for piece in textwrap.wrap(sentence, size):
            if parts and len(parts[-1]) + 1 + len(piece) <= size:
                parts[-1] += " " + piece
            else:
                parts.append(piece)
    return parts


def quiet_cuts(wave: np.ndarray, size: int, hop: int) -> Iterator[np.ndarray]:
    """Pieces of up to ``size`` samples, cut where the last quarter of each is quietest.

    Loudness is taken over five steps of ``hop`` samples.
    """
    while len(wave) > size:
        late = wave[size * 3 // 4 : size]
        power = np.square(late[: len(late) // hop * hop].reshape(-1, hop)).mean(axis=1)
        level = np.convolve(power, np.ones(5), "same") if len(power) >= 5 else power
        cut = size * 3 // 4 + (int(level.argmin()) if len(level) else 0) * hop
        yield wave[:cut]
        wave = wave[cut:]
    yield wave
