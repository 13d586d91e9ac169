"""Codes to bytes, chunk by chunk."""

from __future__ import annotations

import math
import zlib
from typing import BinaryIO

import numpy as np

from speechlm.bitstream.chunk import Chunk
from speechlm.bitstream.chunk_format import CHECK_BYTES, Shape, check
from speechlm.bitstream.coders import ABSENT, ENTROPY, PACKED, RAGGED, ModelCoder, coders
from speechlm.bitstream.header import Header

_CHUNK_BYTES = 1000
_CHUNK_SECONDS = 20.0  # more would claim more than bitstream.allowance grants


def default_chunk_frames(bits_per_frame: int, frame_rate: float) -> int:
    """Frames per chunk for a file: at least one second, and at least 1,000 bytes of codes.

    The five bytes around a chunk stay at half a per cent of it this way. Rounded up to whole bytes
    of payload. At most 20 seconds.
    """
    most = max(1, int(_CHUNK_SECONDS * frame_rate))
    frames = min(max(math.ceil(frame_rate), math.ceil(8 * _CHUNK_BYTES / bits_per_frame)), most)
    step = 8 // math.gcd(8, bits_per_frame)
    return -(-frames // step) * step


class Writer:
    """Write a stream strictly forwards, to a file or a pipe.

    A chunk is written, and the file flushed, as soon as it is full or the number of rows changes;
    its payload is the smallest that the coders make. Without :meth:`finish` the stream reads as cut
    short.

    ``entropy`` is the model's own coder, if it has one; the header names it.

    Attributes:
        header: what was written first.
        size: bytes written so far.
        sent: frames that they hold; others wait for a chunk to be full.
    """

    def __init__(self, file: BinaryIO, header: Header, entropy: ModelCoder | None = None) -> None:
        if entropy is not None and header.context != entropy.hash:
            raise ValueError(f"the header names {header.context}, and the coder is {entropy.hash}")
        self.header = header
        self.size = self.sent = 0
        self._file = file
        self._coders, self._entropy = coders(header.bits), entropy
        start = header.to_bytes()
        self._head = zlib.crc32(start)
        self._chunks = 0
        self._frames = 0  # of this part
        self._waiting = np.zeros((header.num_codebooks, 0), np.int32)
        self._send(start)

    def write(self, codes: np.ndarray) -> None:
        """Append integer codes (codebooks, frames): any frames, up to the header's levels.

        A frame of fewer levels holds -1 above its last; one of none, nothing else.

        Raises:
            ValueError: when the shape or a code does not fit the header.
        """
        header = self.header
        if codes.ndim != 2 or not 1 <= codes.shape[0] <= header.num_codebooks:
            raise ValueError(
                f"expected codes (levels <= {header.num_codebooks}, frames), got {codes.shape}"
            )
        if codes.dtype.kind not in "iu":
            raise ValueError(f"expected integer codes, got {codes.dtype}")
        if codes.size and not ABSENT <= codes.min() <= codes.max() < 1 << header.bits:
            raise ValueError(f"codes must be in 0..{(1 << header.bits) - 1}, or -1 for no code")
        codes = codes.astype(np.int32)
        if ((codes[:-1] < 0) & (codes[1:] >= 0)).any():
            raise ValueError("a frame holds a code above a level that it lacks")
        if len(codes) != len(self._waiting):
            if self._waiting.shape[1]:
                self._chunk(self._waiting)
            self._waiting = np.zeros((len(codes), 0), np.int32)
        self._frames += codes.shape[1]
        self._waiting = np.concatenate([self._waiting, codes], axis=1)
        while self._waiting.shape[1] >= header.chunk_frames:
            self._chunk(self._waiting[:, : header.chunk_frames])
            self._waiting = self._waiting[:, header.chunk_frames :]

    def copy(self, chunk: Chunk, last: bool) -> None:
        """Append a chunk of a stream by the same model as it is, in place of written codes.

        ``last`` says whether the end of a part that it may be is that of the whole.

        Raises:
            ValueError: when it does not fit the header, or codes are waiting for a full chunk.
        """
        header = self.header
        if self._waiting.shape[1] or chunk.bits != header.bits:
            raise ValueError("a chunk is copied between whole chunks of the same model")
        if chunk.num_codebooks > header.num_codebooks or chunk.frames > header.chunk_frames:
            raise ValueError("the chunk is larger than the header says")
        size = len(chunk.payload)
        last = last and chunk.trim is not None
        shape = Shape(chunk.num_codebooks, chunk.frames, chunk.trim, last, chunk.coding, size)
        self._record(shape, chunk.payload)
        self._frames = self._frames + chunk.frames if chunk.trim is None else 0

    def finish(self, samples: int, last: bool = True) -> None:
        """Write the last chunk: the frames that are left, and the exact length of the sound.

        Unless this is the ``last`` part, what is written next starts anew after these samples.

        Raises:
            ValueError: when the frames written make fewer than ``samples`` samples.
        """
        trim = self._frames * self.header.hop_length - samples
        if samples < 0 or trim < 0:
            raise ValueError(f"{self._frames} frames do not make {samples} samples")
        self._chunk(self._waiting, trim, last)
        self._waiting = self._waiting[:, :0]
        self._frames = 0

    def _chunk(self, codes: np.ndarray, trim: int | None = None, last: bool = False) -> None:
        num_codebooks, frames = codes.shape
        ragged = bool((codes < 0).any())
        if ragged:  # no more rows than the fullest frame needs
            num_codebooks = max(1, int((codes >= 0).sum(axis=0).max()))
            codes = codes[:num_codebooks]
        plain = RAGGED if ragged else PACKED
        payloads = {plain: self._coders[plain].encode(codes)}
        if self._entropy is not None and self._entropy.accepts(codes):
            payloads[ENTROPY] = self._entropy.encode(codes)
        coding = min(payloads, key=lambda coding: len(payloads[coding]))
        payload = payloads[coding]
        self._record(Shape(num_codebooks, frames, trim, last, coding, len(payload)), payload)

    def _record(self, shape: Shape, payload: bytes) -> None:
        record = shape.to_bytes(self.header) + payload
        number = check(self._head, record, self._chunks)
        self._chunks += 1
        self.sent += shape.frames
        self._send(record + number.to_bytes(CHECK_BYTES, "little"))

    def _send(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        self.size += len(data)
