"""Payloads: ways to write the codes of a chunk as bytes.

Codes are integers (codebooks, frames). They may be ragged: a frame of fewer levels holds ``ABSENT``
above its last, and one of none holds nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from speechlm.bitstream.bitpacking import pack, packed_size, unpack
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.level_counts import pack_counts, unpack_counts

ABSENT = -1
PACKED, RAGGED, ENTROPY = 0, 1, 2
"""Codings: all levels of all frames; levels per frame, then their codes; by an entropy model."""


class PayloadCoder(Protocol):
    """One way to write the codes of a chunk."""

    def encode(self, codes: np.ndarray) -> bytes:
        """The payload of ``codes`` (codebooks, frames), which may be ragged."""
        ...

    def decode(self, payload: bytes, num_codebooks: int, frames: int) -> np.ndarray:
        """Int64 codes (codebooks, frames) of a payload.

        Raises:
            BitstreamError: when ``payload`` is not what :meth:`encode` gives for such codes.
        """
        ...


class ModelCoder(PayloadCoder, Protocol):
    """The coder that a model brings along, which knows what its codes are like.

    ``hash`` tells it from that of other weights; a stream's header holds it.
    """

    hash: str

    def accepts(self, codes: np.ndarray) -> bool:
        """Whether :meth:`encode` can write ``codes``."""
        ...

    def bits(self, codes: np.ndarray) -> NDArray[np.float64]:
        """About how many bits each of ``codes`` (codebooks, frames), all of them there, takes."""
        ...


class FixedWidthCoder:
    """Codes of a fixed number of bits. Not for ragged codes."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def encode(self, codes: np.ndarray) -> bytes:
        return pack(codes, self._bits)

    def decode(self, payload: bytes, num_codebooks: int, frames: int) -> np.ndarray:
        if len(payload) != packed_size(num_codebooks, frames, self._bits):
            raise BitstreamError("is damaged")
        return unpack(payload, num_codebooks, frames, self._bits)


class Ragged:
    """The number of levels of each frame, and then the codes that are there, packed."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def encode(self, codes: np.ndarray) -> bytes:
        counts = count_levels(codes)
        return pack_counts(counts, len(codes)) + pack(codes.T[codes.T >= 0][None], self._bits)

    def decode(self, payload: bytes, num_codebooks: int, frames: int) -> np.ndarray:
        counts, size = unpack_counts(payload, frames, num_codebooks)
        present = int(counts.sum())
        if len(payload) - size != packed_size(1, present, self._bits):
            raise BitstreamError("is damaged")
        codes = np.full((frames, num_codebooks), ABSENT, np.int64)
        values = unpack(payload[size:], 1, present, self._bits)[0]
        codes[np.arange(num_codebooks) < counts[:, None]] = values
        return np.ascontiguousarray(codes.T)


def coders(bits: int, entropy: ModelCoder | None = None) -> Mapping[int, PayloadCoder]:
    """Coders by coding: those that need no model, and the one of a model if there is one."""
    known: dict[int, PayloadCoder] = {PACKED: FixedWidthCoder(bits), RAGGED: Ragged(bits)}
    return known if entropy is None else known | {ENTROPY: entropy}


def count_levels(codes: np.ndarray) -> np.ndarray:
    """Levels of each frame (frames,) of codes (codebooks, frames)."""
    return (codes != ABSENT).sum(axis=0)


def largest_size(num_codebooks: int, frames: int, bits: int) -> int:
    """Bytes that no payload exceeds: as packed, and two a frame for where its levels end."""
    return packed_size(num_codebooks, frames, bits) + 2 * frames + 2
