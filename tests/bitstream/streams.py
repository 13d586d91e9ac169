"""Streams for the tests."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np
from hypothesis import strategies as st

from speechlm.bitstream import (
    ABSENT,
    Chunk,
    Header,
    LostChunk,
    Reader,
    Writer,
    default_chunk_frames,
)

MODEL = "speechlm-codec-16k"  # the id of the default model, which the size goals count


def default_header(num_codebooks: int) -> Header:
    """The default codec at ``levels / 2`` kbps."""
    return Header(
        MODEL,
        "0123abcd",
        16000,
        320,
        10,
        num_codebooks,
        default_chunk_frames(10 * num_codebooks, 50),
    )


def small_header(**changes) -> Header:
    fields = {
        "model": "m",
        "weights_hash": "00ff00ff",
        "sample_rate": 8000,
        "hop_length": 160,
        "bits": 10,
        "num_codebooks": 2,
        "chunk_frames": 8,
    }
    return Header(**(fields | changes))


def plausible_header(sample_rate: int, hop_length: int, **fields: Any) -> Header:
    """A frame lasts a second at most."""
    return small_header(sample_rate=sample_rate, hop_length=min(hop_length, sample_rate), **fields)


headers = st.builds(
    plausible_header,
    model=st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30),
    weights_hash=st.binary(min_size=4, max_size=4).map(bytes.hex),
    sample_rate=st.integers(1, 1 << 24),
    hop_length=st.integers(1, 1 << 24),
    bits=st.integers(1, 16),
    num_codebooks=st.integers(1, 32),
    chunk_frames=st.integers(1, 60),
)


def random_codes(header: Header, frames: int, seed: int = 0, num_codebooks: int | None = None):
    shape = (num_codebooks or header.num_codebooks, frames)
    return np.random.default_rng(seed).integers(0, 1 << header.bits, shape)


def random_counts(frames: int, most: int, kind: str = "random", seed: int = 0) -> np.ndarray:
    """Levels per frame, of several habits."""
    rng = np.random.default_rng(seed)
    frame = np.arange(frames)
    return {
        "random": rng.integers(0, most + 1, frames),
        "ends": rng.integers(0, 2, frames) * most,
        "runs": np.repeat(rng.integers(0, most + 1, frames // 9 + 1), 9)[:frames],
        "sweep": abs((frame * 37) % (2 * most + 1) - most),
    }[kind]


def ragged_codes(header: Header, frames: int, seed: int = 0) -> np.ndarray:
    kind = ["random", "ends", "runs", "sweep"][seed % 4]
    codes = random_codes(header, frames, seed)
    codes[
        np.arange(header.num_codebooks)[:, None]
        >= random_counts(frames, header.num_codebooks, kind, seed)
    ] = ABSENT
    return codes


def encode(header: Header, *parts: np.ndarray, trim: int = 0) -> bytes:
    """The stream that ``parts``, written one after another, make."""
    file = io.BytesIO()
    writer = Writer(file, header)
    for part in parts:
        writer.write(part)
    writer.finish(sum(part.shape[1] for part in parts) * header.hop_length - trim)
    return file.getvalue()


def items(data: bytes, conceal: bool = False) -> list[Chunk | LostChunk]:
    return list(Reader(io.BytesIO(data), conceal))


def joined(header: Header, chunks: list[Chunk]) -> np.ndarray:
    return np.concatenate(
        [np.zeros((header.num_codebooks, 0), np.int64), *(c.codes for c in chunks)], 1
    )


class Pipe(io.RawIOBase):
    """What comes out of a pipe: forwards only, in pieces of any size, and blocking when dry."""

    def __init__(self, data: bytes, piece: int = 7) -> None:
        self._left = data
        self._piece = piece
        self.closed_by_writer = True

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        assert count >= 0, "would read to the end of a pipe"
        if count > 0 and not self._left and not self.closed_by_writer:
            raise AssertionError("would block")
        count = min(count, self._piece)
        data, self._left = self._left[:count], self._left[count:]
        return data

    def feed(self, data: bytes) -> None:
        self._left += data


def as_pipe(data: bytes, piece: int = 7) -> BinaryIO:
    return Pipe(data, piece)  # type: ignore[return-value]
