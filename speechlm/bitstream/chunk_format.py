"""A chunk on the wire: a tag, what differs from the header, the payload, and a check.

The size of packed codes follows from their shape, so it is not stored: a chunk like the header
says costs five bytes besides its codes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from speechlm.bitstream.bitpacking import packed_size
from speechlm.bitstream.coders import ENTROPY, PACKED, largest_size
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.header import Header
from speechlm.bitstream.peekable import Lookahead, varint

CHECK_BYTES = 4

_CODING = 0x0F
_HAS_LEVELS = 0x10
_HAS_FRAMES = 0x20
_IS_LAST = 0x40
_ENDS_PART = 0x80
TAGS = frozenset(tag for tag in range(0xC0) if tag & _CODING <= ENTROPY)  # of codings that we know


@dataclass(frozen=True)
class Shape:
    """The fields of a chunk.

    Attributes:
        num_codebooks, frames: of its codes.
        trim: None, or in the last chunk of a part by how many samples the part is shorter than
            its frames.
        last: whether the part is the last one.
        coding: how the payload holds the codes.
        size: of the payload, bytes.
    """

    num_codebooks: int
    frames: int
    trim: int | None
    last: bool
    coding: int
    size: int

    def to_bytes(self, header: Header) -> bytes:
        tag = self.coding
        fields = b""
        if self.num_codebooks != header.num_codebooks:
            tag |= _HAS_LEVELS
            fields += bytes([self.num_codebooks])
        if self.frames != header.chunk_frames:
            tag |= _HAS_FRAMES
            fields += varint(self.frames)
        if self.trim is not None:
            tag |= _IS_LAST if self.last else _ENDS_PART
            fields += varint(self.trim)
        if self.coding != PACKED:
            fields += varint(self.size)
        return bytes([tag]) + fields

    @classmethod
    def parse(cls, source: Lookahead, header: Header) -> Shape:
        """Take the fields of a chunk.

        Raises:
            Truncated: when the stream ends inside them.
            BitstreamError: when they hold impossible values.
        """
        tag = source.take(1)[0]
        coding, last, ends = tag & _CODING, bool(tag & _IS_LAST), bool(tag & _ENDS_PART)
        num_codebooks = source.take(1)[0] if tag & _HAS_LEVELS else header.num_codebooks
        frames = source.varint() if tag & _HAS_FRAMES else header.chunk_frames
        trim = source.varint() if last or ends else None
        if (
            (last and ends)
            or not 1 <= num_codebooks <= header.num_codebooks
            or not (0 if last or ends else 1) <= frames <= header.chunk_frames
        ):
            raise BitstreamError("is damaged")
        packed = packed_size(num_codebooks, frames, header.bits)
        size = packed if coding == PACKED else source.varint()
        if size > largest_size(num_codebooks, frames, header.bits):
            raise BitstreamError("is damaged")
        return cls(num_codebooks, frames, trim, last, coding, size)


def check(head: int, record: bytes, number: int) -> int:
    """The check of chunk ``number``: CRC-32 of the header's bytes, the record and the number.

    ``head`` is the CRC-32 of the header, from which this goes on: a chunk does not pass under
    another header, nor out of its place.
    """
    return zlib.crc32((number % (1 << 32)).to_bytes(4, "little"), zlib.crc32(record, head))


def number_mark(number: int) -> int:
    """The bits in which the check of a record as chunk ``number`` differs from that as chunk 0.

    They are the same for all records, since a CRC is linear; so a number is found from a check
    without trying every one.
    """
    return check(0, b"", number) ^ check(0, b"", 0)
