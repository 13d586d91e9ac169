"""Codes as bits: frame after frame, level after level, most significant bit first."""

from __future__ import annotations

import numpy as np


def packed_size(num_codebooks: int, frames: int, bits: int) -> int:
    """Bytes that ``levels * frames`` codes of ``bits`` bits take."""
    return (num_codebooks * frames * bits + 7) // 8


def pack(codes: np.ndarray, bits: int) -> bytes:
    """Pack codes (codebooks, frames) in [0, 2**bits), bits <= 16; zeros fill the last byte."""
    words = np.ascontiguousarray(codes.T, dtype=">u2").view(np.uint8)
    return np.packbits(np.unpackbits(words).reshape(-1, 16)[:, 16 - bits :]).tobytes()


def unpack(payload: bytes, num_codebooks: int, frames: int, bits: int) -> np.ndarray:
    """Unpack int64 codes (codebooks, frames) from the ``packed_size`` bytes that :func:`pack`
    gave."""
    count = num_codebooks * frames
    words = np.zeros((count, 16), np.uint8)
    stream = np.unpackbits(np.frombuffer(payload, np.uint8), count=count * bits)
    words[:, 16 - bits :] = stream.reshape(count, bits)
    codes = np.packbits(words).view(">u2").reshape(frames, num_codebooks)
    return np.ascontiguousarray(codes.T, dtype=np.int64)
