"""A stream as packets, for networks that lose, repeat and reorder them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from speechlm.bitstream.allowance import frames_left
from speechlm.bitstream.chunk import Chunk, LostChunk
from speechlm.bitstream.chunk_format import CHECK_BYTES, Shape, check
from speechlm.bitstream.coders import ENTROPY, ModelCoder, coders
from speechlm.bitstream.errors import BitstreamError, Truncated
from speechlm.bitstream.header import Header
from speechlm.bitstream.peekable import Lookahead

HEADER_EVERY = 50
"""Packets between two that hold the header, for who joins late."""
JITTER = 4
"""Packets that may overtake one before it is taken for lost."""

_IS_HEADER = 0x8000
_NUMBERS = 1 << 16


class PacketWriter(io.RawIOBase):
    """Puts each piece that a :class:`Writer` writes into a packet: the header, then chunks.

    A packet is its size and its chunk's number, two bytes each, and the piece. The header goes out
    again now and then, with the number of the chunk that follows it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._header = b""
        self._number = 0

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        if not self._header:
            self._header = piece
            return len(piece)
        if self._number % HEADER_EVERY == 0:
            self._send(self._header, _IS_HEADER)
        self._send(piece, 0)
        self._number += 1
        return len(piece)

    def flush(self) -> None:
        self._file.flush()

    def _send(self, body: bytes, kind: int) -> None:
        if len(body) >= _IS_HEADER:
            raise BitstreamError(f"a chunk of {len(body)} bytes is too large for a packet")
        size, number = len(body) | kind, self._number % _NUMBERS
        self._file.write(size.to_bytes(2, "little") + number.to_bytes(2, "little") + body)


class PacketReader:
    """Chunks of packets, in order: a :class:`Reader` of streams with gaps.

    A packet is waited for until ``jitter`` later ones are there; then its chunk comes as a
    :class:`LostChunk`, if losses are to be concealed. What comes twice, too late, damaged or under
    another header is dropped. Chunks before the first header are passed over.

    Attributes:
        header, frames, samples: as those of a :class:`Reader`.

    Raises:
        BitstreamError: when no header comes, or a chunk is missing and losses are no part of the
            plan.
    """

    samples: int | None = None

    def __init__(
        self,
        file: BinaryIO,
        conceal: bool = False,
        entropy: ModelCoder | None = None,
        jitter: int = JITTER,
    ) -> None:
        self._file, self._conceal, self._jitter = file, conceal, jitter
        self._received = 0  # bytes
        for kind, number, body in iter(self._packet, None):
            if kind and self._is_header(body):
                self._next = number
                break
        else:
            raise BitstreamError("stream: no packet with a header")
        self._coders = coders(self.header.bits, entropy)
        self._waiting: dict[int, tuple[Shape, bytes, int]] = {}
        self._trimmed = 0
        self.frames = 0

    def __iter__(self) -> Iterator[Chunk | LostChunk]:
        while self.samples is None:
            packet = self._packet()
            if packet is None:
                break
            if not packet[0]:
                self._keep(*packet[1:])
            yield from self._ready(self._jitter)
        yield from self._ready(0)
        if self.samples is None and not self._conceal:
            raise BitstreamError("stream: ends without its last packet; --conceal plays what came")

    def _ready(self, jitter: int) -> Iterator[Chunk | LostChunk]:
        """Chunks whose turn it is, and those given up since more than ``jitter`` wait."""
        while self._waiting and self.samples is None:
            here = self._waiting.pop(self._next, None)
            if here is not None:
                yield from self._chunk(*here)
            elif len(self._waiting) > jitter:
                if not self._conceal:
                    raise BitstreamError(f"stream: packet {self._next} is lost; --conceal goes on")
                if self._left() < self.header.chunk_frames:  # no gap that nothing pays for
                    self._next = min(self._waiting)
                    continue
                lost = LostChunk(self.frames, self._sample, self.header.chunk_frames)
                self.frames += lost.frames
                yield lost
            else:
                return
            self._next += 1

    def _left(self) -> int:
        """Frames that may still come."""
        return frames_left(self.frames, self._received, self.header.frame_rate)

    def _chunk(self, shape: Shape, payload: bytes, size: int) -> Iterator[Chunk]:
        start, sample = self.frames, self._sample
        if shape.frames > self._left():
            seconds = (start + shape.frames) / self.header.frame_rate
            raise BitstreamError(
                f"stream: claims {seconds:.0f} s of sound in {self._received} bytes: not a stream "
                "by speechlm"
            )
        self.frames += shape.frames
        self._trimmed += shape.trim or 0
        if shape.last:
            self.samples = self._sample
        if shape.frames:
            yield Chunk(
                self._next,
                start,
                sample,
                shape.num_codebooks,
                shape.frames,
                self.header.bits,
                shape.trim,
                shape.coding,
                payload,
                size,
                self._coders,
            )

    @property
    def _sample(self) -> int:
        return max(0, self.frames * self.header.hop_length - self._trimmed)

    def _keep(self, number: int, body: bytes) -> None:
        """Let a chunk wait for its turn, if it is whole and its turn is still to come."""
        half = _NUMBERS // 2
        number = self._next + (number - self._next + half) % _NUMBERS - half
        if number < self._next:
            return
        source = Lookahead(io.BytesIO(body))
        try:
            shape = Shape.parse(source, self.header)
            payload = source.take(shape.size)
            mark = check(self._head, source.taken, number)
            whole = int.from_bytes(source.take(CHECK_BYTES), "little") == mark
        except BitstreamError:
            return
        if whole and len(source.taken) == len(body) and shape.coding <= ENTROPY:
            self._waiting[number] = shape, payload, len(body)

    def _is_header(self, body: bytes) -> bool:
        try:
            self.header = Header.parse(Lookahead(io.BytesIO(body)))
        except BitstreamError:
            return False
        self._head = zlib.crc32(body)
        return True

    def _packet(self) -> tuple[bool, int, bytes] | None:
        """Whether it is a header, number and body of the next packet; None at the end."""
        source = Lookahead(self._file)
        try:
            start = source.take(4)
            size = int.from_bytes(start[:2], "little")
            body = source.take(size & ~_IS_HEADER)
        except Truncated:
            return None
        self._received += len(start) + len(body)
        return bool(size & _IS_HEADER), int.from_bytes(start[2:], "little"), body
