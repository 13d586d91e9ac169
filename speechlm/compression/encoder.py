"""Sound to a stream that meets a goal: a bitrate, a size or a quality."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from speechlm import rate_control
from speechlm.bitstream import Header, ModelCoder, Writer, default_chunk_frames
from speechlm.codec import Codec
from speechlm.errors import SpeechLMError

MODES = "vbr", "cbr"
_AROUND_CHUNK = 8 * 9  # bits: tag, levels, size and check, and the ragged payload's rounding up
_AROUND_END = 8 * 8  # bits: what the last chunk takes besides


@dataclass(frozen=True)
class Goal:
    """How many bits to spend: at most one of these, or all levels of all frames.

    Attributes:
        kbps: real bitrate, of everything that is written.
        mode: ``cbr`` keeps the bitrate in every second, ``vbr`` on average; for ``kbps``.
        max_bytes: size not to be exceeded.
        quality: 0 to 10: the same error everywhere, at whatever rate.
    """

    kbps: float | None = None
    mode: str = "vbr"
    max_bytes: int | None = None
    quality: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.kbps, self.max_bytes, self.quality) if value is not None]
        if len(given) > 1:
            raise SpeechLMError("give one of a bitrate, a size and a quality")
        if self.mode not in MODES:
            raise SpeechLMError(f"the mode is {' or '.join(MODES)}, not {self.mode}")
        if self.quality is not None and not 0 <= self.quality <= 10:
            raise SpeechLMError(f"the quality is 0 to 10, not {self.quality:g}")

    def entropy(self, codec: Codec) -> ModelCoder | None:
        """What writes the codes; None packs them, as at a constant rate, for sizes known ahead.

        What the context model makes of a chunk is known when it is whole, and silence takes less
        than any constant rate.
        """
        return None if self.kbps is not None and self.mode == "cbr" else codec.entropy

    def whole(self, codec: Codec) -> bool:
        """Whether a file's bits are laid out with all of it in view."""
        fitted = self.max_bytes is not None or self.quality is not None
        return codec.graded and (fitted or (self.kbps is not None and self.mode == "vbr"))


@dataclass(frozen=True)
class Coded:
    """What coding took. ``seconds`` of sound, ``work`` seconds of computing in the codec.

    ``levels`` are those that a frame has on average.
    """

    seconds: float
    work: float
    levels: float

    @property
    def rtf(self) -> float:
        """Real-time factor: seconds of computing for a second of sound."""
        return self.work / self.seconds if self.seconds else float("nan")


def encode_stream(
    pieces: Iterable[NDArray[np.float32]],
    file: BinaryIO,
    codec: Codec,
    goal: Goal,
    chunk_frames: int | None = None,
) -> Coded:
    """Write ``pieces`` of sound (samples,) as they come, in constant memory.

    Raises:
        SpeechLMError: when the codec does not reach the goal, or a stream cannot.
    """
    if codec.graded and goal.max_bytes is not None:
        raise SpeechLMError("a stream ends nobody knows when: a size is for files")
    levels = None if codec.graded else _fixed_levels(codec, goal)
    frame_bits = _frame_bits(codec, goal) if levels is None else levels * codec.bits_per_code
    chunk = chunk_frames or default_chunk_frames(round(frame_bits), codec.frame_rate)
    entropy = goal.entropy(codec)
    writer = Writer(file, _header(codec, chunk, levels or codec.levels, entropy), entropy)
    control = None if levels else _control(codec, goal, writer, frame_bits, entropy)
    loudness = rate_control.Loudness(codec.hop, codec.sample_rate)
    clock = _Clock()
    kept = frames = 0
    for wave, codes in _coded(pieces, codec, clock, levels):
        loudness.push(wave)
        if control is not None:
            with clock:
                codes = control.cut(codes, loudness.take_weights(codes.shape[1]))
        kept += int((codes >= 0).sum())
        frames += codes.shape[1]
        writer.write(codes)
        if control is not None:
            control.settle()
    writer.finish(clock.samples)
    return Coded(clock.samples / codec.sample_rate, clock.work, kept / max(1, frames))


def encode_whole(
    pieces: Iterable[NDArray[np.float32]], file: BinaryIO, codec: Codec, goal: Goal
) -> Coded:
    """Write a recording with its bits where they matter most, all its codes in memory.

    Raises:
        SpeechLMError: when the codec does not reach the goal.
    """
    assert goal.whole(codec)
    loudness = rate_control.Loudness(codec.hop, codec.sample_rate)
    clock = _Clock()
    blocks, errors = (
        [np.zeros((codec.levels, 0), np.int64)],
        [np.zeros((codec.levels + 1, 0), np.float32)],
    )
    if goal.kbps is not None:
        codec.choose_levels(kbps=goal.kbps)
    for wave, block in _coded(pieces, codec, clock):
        loudness.push(wave)
        blocks.append(block.astype(np.int16 if codec.bits_per_code < 16 else np.int32))
        with clock:
            errors.append(_errors(codec, block))
    codes = np.concatenate(blocks, axis=1)
    frames, samples = codes.shape[1], clock.samples
    loss = np.concatenate(errors, axis=1) * rate_control.weights(loudness.take(frames)).astype(
        np.float32
    )
    entropy = goal.entropy(codec)
    bits = _cost(codec, entropy)(codes)

    def written(counts: NDArray[np.int64], file: BinaryIO) -> int:
        frame_bits = max(1.0, float(bits.sum(axis=0) @ counts) / codec.levels / max(1, frames))
        chunk = default_chunk_frames(round(frame_bits), codec.frame_rate)
        writer = Writer(file, _header(codec, chunk, codec.levels, entropy), entropy)
        writer.write(rate_control.cut(codes, counts))
        writer.finish(samples)
        return writer.size

    def size(counts: NDArray[np.int64]) -> int:
        return written(counts, io.BytesIO())

    with clock:
        if goal.quality is not None:
            price = rate_control.quality_price(goal.quality)
            counts = rate_control.keep(loss, rate_control.cumulative(bits), price, codec.levels)
        elif goal.max_bytes is not None:
            counts = rate_control.fit(bits, loss, size, goal.max_bytes, at_most=True)
        else:
            assert goal.kbps is not None
            target = goal.kbps * 125 * samples / codec.sample_rate
            counts = rate_control.fit(bits, loss, size, target)
        total = written(counts, file)
    if goal.max_bytes is not None and total > goal.max_bytes:
        raise SpeechLMError(
            f"{samples / codec.sample_rate:.2f} s take {total} bytes at least, not {goal.max_bytes}"
        )
    return Coded(samples / codec.sample_rate, clock.work, float(counts.sum()) / max(1, frames))


def write_codes(
    codes: NDArray[np.integer],
    samples: int,
    file: BinaryIO,
    codec: Codec,
    entropy: ModelCoder | None,
) -> int:
    """Write codes (levels, frames) of ``samples`` samples as they are; return the bytes."""
    levels = len(codes)
    chunk = default_chunk_frames(codec.bits_per_code * levels, codec.frame_rate)
    writer = Writer(file, _header(codec, chunk, levels, entropy), entropy)
    writer.write(codes)
    writer.finish(samples)
    return writer.size


class _Clock:
    """Adds up the time spent inside, and the samples that have passed."""

    def __init__(self) -> None:
        self.work = 0.0
        self.samples = 0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.work += time.perf_counter() - self._start


class _Control:
    """A controller at a writer's side."""

    def __init__(
        self,
        codec: Codec,
        writer: Writer,
        choice: rate_control.ConstantRate | rate_control.VariableRate | rate_control.FixedQuality,
        budget: rate_control.Budget | None,
        cost: rate_control.Cost,
    ) -> None:
        self._codec, self._writer, self._choice, self._budget = codec, writer, choice, budget
        self._cost = cost
        self._seen = writer.sent, writer.size

    def cut(self, codes: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
        """``codes`` (levels, frames) with as many levels a frame as may stay."""
        constant = isinstance(
            self._choice, rate_control.ConstantRate
        )  # which does not ask what is lost
        loss = np.zeros((1, 1)) if constant else _errors(self._codec, codes) * weights
        return rate_control.cut(codes, self._choice.choose(self._cost(codes), loss))

    def settle(self) -> None:
        """Tell the budget what was written since the last time."""
        sent, size = self._writer.sent, self._writer.size
        if self._budget is not None and sent > self._seen[0]:
            self._budget.settle(sent - self._seen[0], 8 * (size - self._seen[1]))
            self._seen = sent, size


def _control(
    codec: Codec, goal: Goal, writer: Writer, frame_bits: float, entropy: ModelCoder | None
) -> _Control | None:
    cost = _cost(codec, entropy)
    if goal.quality is not None:
        fixed = rate_control.FixedQuality(rate_control.quality_price(goal.quality), codec.levels)
        return _Control(codec, writer, fixed, None, cost)
    if goal.kbps is None:
        return None
    budget = rate_control.Budget(
        frame_bits,
        codec.frame_rate,
        8 * writer.size + _AROUND_END,
        _AROUND_CHUNK,
        codec.levels,
        writer.header.chunk_frames,
    )
    choice: rate_control.ConstantRate | rate_control.VariableRate
    if goal.mode == "cbr":
        choice = rate_control.ConstantRate(budget, codec.levels)
    else:
        choice = rate_control.VariableRate(budget, codec.levels, codec.frame_rate)
    return _Control(codec, writer, choice, budget, cost)


def _coded(
    pieces: Iterable[NDArray[np.float32]], codec: Codec, clock: _Clock, levels: int | None = None
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Pieces, each with the codes (levels, frames) that are there after it; at last the rest."""
    stream = codec.stream_encoder(levels)
    for piece in pieces:
        with clock:
            codes = stream.push(torch.tensor(piece)[None])
        clock.samples += len(piece)
        yield piece, codes[0].cpu().numpy()
    with clock:
        codes = stream.flush()
    yield np.zeros(0, np.float32), codes[0].cpu().numpy()


def _frame_bits(codec: Codec, goal: Goal) -> float:
    """Bits a frame, as far as the goal says."""
    if goal.kbps is None:
        return codec.bits_per_code * codec.levels
    codec.choose_levels(kbps=goal.kbps)
    return goal.kbps * 1000 / codec.frame_rate


def _fixed_levels(codec: Codec, goal: Goal) -> int:
    """The levels of all frames, of a codec that has as many in each."""
    if goal.max_bytes is not None or goal.quality is not None:
        raise SpeechLMError(f"{codec.model_id} has as many levels in all frames: give a bitrate")
    return codec.choose_levels(kbps=goal.kbps)


def _errors(codec: Codec, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    return codec.errors(torch.from_numpy(codes)[None])[0].float().cpu().numpy()


def _cost(codec: Codec, entropy: ModelCoder | None) -> rate_control.Cost:
    return rate_control.fixed_cost(codec.bits_per_code) if entropy is None else entropy.bits


def _header(codec: Codec, chunk_frames: int, levels: int, entropy: ModelCoder | None) -> Header:
    return Header(
        model=codec.model_id,
        weights_hash=codec.weights_hash,
        sample_rate=codec.sample_rate,
        hop=codec.hop,
        bits=codec.bits_per_code,
        levels=levels,
        chunk_frames=chunk_frames,
        context=entropy.hash if entropy else None,
    )
