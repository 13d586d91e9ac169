"""Sound to a stream that meets a rate: a bitrate, a size or a quality."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from speechlm import rate_control
from speechlm.bitstream import Header, ModelCoder, Writer, default_chunk_frames
from speechlm.codec import Codec
from speechlm.compression.rate_target import CodingStats, RateTarget
from speechlm.errors import SpeechLMError
from speechlm.types import Codes, Floats

_AROUND_CHUNK = 8 * 9  # bits: tag, levels, size and check, and the ragged payload's rounding up
_AROUND_END = 8 * 8  # bits: what the last chunk takes besides


def encode_stream(
    pieces: Iterable[NDArray[np.float32]],
    file: BinaryIO,
    codec: Codec,
    rate: RateTarget,
    chunk_frames: int | None = None,
) -> CodingStats:
    """Write ``pieces`` of sound (samples,) as they come, in constant memory.

    Raises:
        SpeechLMError: when the codec does not reach the rate, or a stream cannot.
    """
    if codec.supports_variable_rate and rate.max_bytes is not None:
        raise SpeechLMError("a stream ends nobody knows when: a size is for files")
    num_codebooks = None if codec.supports_variable_rate else _fixed_num_codebooks(codec, rate)
    frame_bits = (
        _frame_bits(codec, rate) if num_codebooks is None else num_codebooks * codec.bits_per_code
    )
    chunk = chunk_frames or default_chunk_frames(round(frame_bits), codec.frame_rate)
    entropy = rate.entropy_coder(codec)
    writer = Writer(
        file, _header(codec, chunk, num_codebooks or codec.num_codebooks, entropy), entropy
    )
    control = None if num_codebooks else _control(codec, rate, writer, frame_bits, entropy)
    loudness = rate_control.Loudness(codec.hop_length, codec.sample_rate)
    clock = _Clock()
    kept = frames = 0
    for wave, codes in _coded(pieces, codec, clock, num_codebooks):
        loudness.push(wave)
        if control is not None:
            with clock:
                codes = control.truncate(codes, loudness.take_weights(codes.shape[1]))
        kept += int((codes >= 0).sum())
        frames += codes.shape[1]
        writer.write(codes)
        if control is not None:
            control.settle()
    writer.finish(clock.samples)
    return CodingStats(clock.samples / codec.sample_rate, clock.work, kept / max(1, frames))


def encode_whole(
    pieces: Iterable[NDArray[np.float32]], file: BinaryIO, codec: Codec, rate: RateTarget
) -> CodingStats:
    """Write a recording with its bits where they matter most, all its codes in memory.

    Raises:
        SpeechLMError: when the codec does not reach the rate.
    """
    assert rate.needs_two_passes(codec)
    loudness = rate_control.Loudness(codec.hop_length, codec.sample_rate)
    clock = _Clock()
    blocks, errors = (
        [np.zeros((codec.num_codebooks, 0), np.int64)],
        [np.zeros((codec.num_codebooks + 1, 0), np.float32)],
    )
    if rate.kbps is not None:
        codec.choose_num_codebooks(kbps=rate.kbps)
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
    entropy = rate.entropy_coder(codec)
    bits = _cost(codec, entropy)(codes)

    def written(counts: NDArray[np.int64], file: BinaryIO) -> int:
        frame_bits = max(
            1.0, float(bits.sum(axis=0) @ counts) / codec.num_codebooks / max(1, frames)
        )
        chunk = default_chunk_frames(round(frame_bits), codec.frame_rate)
        writer = Writer(file, _header(codec, chunk, codec.num_codebooks, entropy), entropy)
        writer.write(rate_control.truncate(codes, counts))
        writer.finish(samples)
        return writer.size

    def size(counts: NDArray[np.int64]) -> int:
        return written(counts, io.BytesIO())

    with clock:
        if rate.quality is not None:
            price = rate_control.quality_price(rate.quality)
            counts = rate_control.viterbi_levels(
                loss, rate_control.cumulative(bits), price, codec.num_codebooks
            )
        elif rate.max_bytes is not None:
            counts = rate_control.fit_size(bits, loss, size, rate.max_bytes, at_most=True)
        else:
            assert rate.kbps is not None
            target = rate.kbps * 125 * samples / codec.sample_rate
            counts = rate_control.fit_size(bits, loss, size, target)
        total = written(counts, file)
    if rate.max_bytes is not None and total > rate.max_bytes:
        raise SpeechLMError(
            f"{samples / codec.sample_rate:.2f} s take {total} bytes at least, not {rate.max_bytes}"
        )
    return CodingStats(
        samples / codec.sample_rate, clock.work, float(counts.sum()) / max(1, frames)
    )


def write_codes(
    codes: NDArray[np.integer],
    samples: int,
    file: BinaryIO,
    codec: Codec,
    entropy: ModelCoder | None,
) -> int:
    """Write codes (codebooks, frames) of ``samples`` samples as they are; return the bytes."""
    num_codebooks = len(codes)
    chunk = default_chunk_frames(codec.bits_per_code * num_codebooks, codec.frame_rate)
    writer = Writer(file, _header(codec, chunk, num_codebooks, entropy), entropy)
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

    def truncate(self, codes: Codes, weights: Floats) -> Codes:
        """``codes`` (codebooks, frames) with as many levels a frame as may stay."""
        constant = isinstance(
            self._choice, rate_control.ConstantRate
        )  # which does not ask what is lost
        loss = np.zeros((1, 1)) if constant else _errors(self._codec, codes) * weights
        return rate_control.truncate(codes, self._choice.choose(self._cost(codes), loss))

    def settle(self) -> None:
        """Tell the budget what was written since the last time."""
        sent, size = self._writer.sent, self._writer.size
        if self._budget is not None and sent > self._seen[0]:
            self._budget.settle(sent - self._seen[0], 8 * (size - self._seen[1]))
            self._seen = sent, size


def _control(
    codec: Codec, rate: RateTarget, writer: Writer, frame_bits: float, entropy: ModelCoder | None
) -> _Control | None:
    cost = _cost(codec, entropy)
    if rate.quality is not None:
        fixed = rate_control.FixedQuality(
            rate_control.quality_price(rate.quality), codec.num_codebooks
        )
        return _Control(codec, writer, fixed, None, cost)
    if rate.kbps is None:
        return None
    budget = rate_control.Budget(
        frame_bits,
        codec.frame_rate,
        8 * writer.size + _AROUND_END,
        _AROUND_CHUNK,
        codec.num_codebooks,
        writer.header.chunk_frames,
    )
    choice: rate_control.ConstantRate | rate_control.VariableRate
    if rate.mode == "cbr":
        choice = rate_control.ConstantRate(budget, codec.num_codebooks)
    else:
        choice = rate_control.VariableRate(budget, codec.num_codebooks, codec.frame_rate)
    return _Control(codec, writer, choice, budget, cost)


def _coded(
    pieces: Iterable[NDArray[np.float32]],
    codec: Codec,
    clock: _Clock,
    num_codebooks: int | None = None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Pieces, each with the codes (codebooks, frames) that are there after it; at last the rest."""
    stream = codec.stream_encoder(num_codebooks)
    for piece in pieces:
        with clock:
            codes = stream.push(torch.tensor(piece)[None])
        clock.samples += len(piece)
        yield piece, codes[0].cpu().numpy()
    with clock:
        codes = stream.flush()
    yield np.zeros(0, np.float32), codes[0].cpu().numpy()


def _frame_bits(codec: Codec, rate: RateTarget) -> float:
    """Bits a frame, as far as the rate says."""
    if rate.kbps is None:
        return codec.bits_per_code * codec.num_codebooks
    codec.choose_num_codebooks(kbps=rate.kbps)
    return rate.kbps * 1000 / codec.frame_rate


def _fixed_num_codebooks(codec: Codec, rate: RateTarget) -> int:
    """The levels of all frames, of a codec that has as many in each."""
    if rate.max_bytes is not None or rate.quality is not None:
        raise SpeechLMError(f"{codec.model_id} has as many levels in all frames: give a bitrate")
    return codec.choose_num_codebooks(kbps=rate.kbps)


def _errors(codec: Codec, codes: NDArray[np.int64]) -> NDArray[np.float32]:
    return codec.truncation_distortion(torch.from_numpy(codes)[None])[0].float().cpu().numpy()


def _cost(codec: Codec, entropy: ModelCoder | None) -> rate_control.Cost:
    return rate_control.fixed_cost(codec.bits_per_code) if entropy is None else entropy.bits


def _header(
    codec: Codec, chunk_frames: int, num_codebooks: int, entropy: ModelCoder | None
) -> Header:
    return Header(
        model=codec.model_id,
        weights_hash=codec.weights_hash,
        sample_rate=codec.sample_rate,
        hop_length=codec.hop_length,
        bits=codec.bits_per_code,
        num_codebooks=num_codebooks,
        chunk_frames=chunk_frames,
        context=entropy.hash if entropy else None,
    )
