"""Codes to bytes, chunk by chunk."""

from __future__ import annotations

import math
import zlib
from typing import BinaryIO

import numpy as np

from speechlm.bitstream.header import Header
from speechlm.bitstream.packing import pack
from speechlm.bitstream.record import CHECK_BYTES, PACKED, Shape, check

_CHUNK_BYTES = 1000


def default_chunk_frames(bits_per_frame: int, frame_rate: float) -> int:
    """Frames per chunk for a file: at least one second, and at least 1,000 bytes of codes.

    The five bytes around a chunk stay at half a per cent of it this way. Rounded up to whole bytes
    of payload.
    """
    frames = max(math.ceil(frame_rate), math.ceil(8 * _CHUNK_BYTES / bits_per_frame))
    step = 8 // math.gcd(8, bits_per_frame)
    return -(-frames // step) * step


class Writer:
    """Write a stream strictly forwards, to a file or a pipe.

    A chunk is written, and the file flushed, as soon as it is full or the number of levels
    changes. Without :meth:`finish` the stream reads as cut short.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self.header = header
        self._file = file
        start = header.to_bytes()
        self._head = zlib.crc32(start)
        self._chunks = 0
        self._frames = 0
        self._waiting = np.zeros((header.levels, 0), np.uint16)
        self._send(start)

    def write(self, codes: np.ndarray) -> None:
        """Append integer codes (levels, frames): any frames, up to the header's levels.

        Raises:
            ValueError: when the shape or a code does not fit the header.
        """
        header = self.header
        if codes.ndim != 2 or not 1 <= codes.shape[0] <= header.levels:
            raise ValueError(
                f"expected codes (levels <= {header.levels}, frames), got {codes.shape}"
            )
        if codes.dtype.kind not in "iu":
            raise ValueError(f"expected integer codes, got {codes.dtype}")
        if codes.size and not 0 <= codes.min() <= codes.max() < 1 << header.bits:
            raise ValueError(f"codes must be in 0..{(1 << header.bits) - 1}")
        if len(codes) != len(self._waiting):
            if self._waiting.shape[1]:
                self._chunk(self._waiting)
            self._waiting = np.zeros((len(codes), 0), np.uint16)
        self._frames += codes.shape[1]
        self._waiting = np.concatenate([self._waiting, codes.astype(np.uint16)], axis=1)
        while self._waiting.shape[1] >= header.chunk_frames:
            self._chunk(self._waiting[:, : header.chunk_frames])
            self._waiting = self._waiting[:, header.chunk_frames :]

    def finish(self, samples: int) -> None:
        """Write the last chunk: the frames that are left, and the exact length of the sound.

        Raises:
            ValueError: when the frames written make fewer than ``samples`` samples.
        """
        trim = self._frames * self.header.hop - samples
        if samples < 0 or trim < 0:
            raise ValueError(f"{self._frames} frames do not make {samples} samples")
        self._chunk(self._waiting, trim)

    def _chunk(self, codes: np.ndarray, trim: int | None = None) -> None:
        payload = pack(codes, self.header.bits)
        levels, frames = codes.shape
        shape = Shape(levels, frames, trim, PACKED, len(payload))
        record = shape.to_bytes(self.header) + payload
        number = check(self._head, record, self._chunks)
        self._chunks += 1
        self._send(record + number.to_bytes(CHECK_BYTES, "little"))

    def _send(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
