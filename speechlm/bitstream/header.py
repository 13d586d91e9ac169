"""The header: which model made the codes, and their shape."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

from speechlm.bitstream.bitpacking import packed_size
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.peekable import Lookahead, varint

MAGIC = b"SLM"
VERSION = 1
MAX_CHUNK_CODES = 1 << 18  # no field of a stream makes a reader hold more codes than this

_BITS = 0x0F  # bits per code, less one
_EXTENSION = 0x80  # an extension block follows the model's name
_RESERVED = 0x70
_MAX_NAME = 127
_MAX_EXTENSION = 4096
_CONTEXT = 1  # the kind of the extension's field that names the entropy model
_HASH = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True)
class Header:
    """What a stream says once.

    Attributes:
        model: id of the model that decodes the codes, at most 127 bytes of UTF-8.
        weights_hash: the first 8 hex digits of the hash of its weights.
        sample_rate: of the sound, Hz.
        hop_length: samples per frame.
        bits: per code, 1 to 16.
        num_codebooks: codes per frame, 1 to 255; a chunk may hold fewer.
        chunk_frames: frames per chunk; a chunk may hold fewer. At most 2**18 codes per chunk.
        context: the first 8 hex digits of the hash of the entropy model by which chunks may be
            entropy-coded; None when none is.

    Raises:
        BitstreamError: when a value is out of range.
    """

    model: str
    weights_hash: str
    sample_rate: int
    hop_length: int
    bits: int
    num_codebooks: int
    chunk_frames: int
    context: str | None = None

    def __post_init__(self) -> None:
        for name, most in (
            ("sample_rate", 1 << 24),
            ("hop_length", 1 << 24),
            ("bits", 16),
            ("num_codebooks", 255),
            ("chunk_frames", MAX_CHUNK_CODES // max(1, self.num_codebooks)),
        ):
            if not 1 <= getattr(self, name) <= most:
                raise BitstreamError(f"{name} {getattr(self, name)} is not in 1..{most}")
        if self.hop_length > self.sample_rate:
            raise BitstreamError(f"a frame of {self.hop_length} samples is longer than a second")
        for digits in (self.weights_hash, self.context):
            if digits is not None and not _HASH.fullmatch(digits):
                raise BitstreamError(f"weights hash {digits!r} is not 8 hex digits")
        if not self.model.isprintable() or not 1 <= len(self.model.encode()) <= _MAX_NAME:
            raise BitstreamError(f"model id {self.model!r} is not 1 to {_MAX_NAME} bytes of text")

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def chunk_bytes(self) -> int:
        """The largest payload of a chunk."""
        return packed_size(self.num_codebooks, self.chunk_frames, self.bits)

    def to_bytes(self) -> bytes:
        name = self.model.encode()
        flags, extension = self.bits - 1, b""
        if self.context is not None:
            flags |= _EXTENSION
            field = bytes.fromhex(self.context)
            extension = bytes([_CONTEXT, len(field)]) + field
            extension = varint(len(extension)) + extension
        body = (
            MAGIC
            + bytes([VERSION, flags, self.num_codebooks])
            + b"".join(
                varint(value) for value in (self.sample_rate, self.hop_length, self.chunk_frames)
            )
            + bytes.fromhex(self.weights_hash)
            + bytes([len(name)])
            + name
            + extension
        )
        return body + _check(body)

    @classmethod
    def parse(cls, source: Lookahead) -> Header:
        """Take a header from the start of a stream.

        Raises:
            BitstreamError: when the stream is of another kind, newer, cut short or damaged.
        """
        if source.take(len(MAGIC)) != MAGIC:
            raise BitstreamError("is not a speechlm file")
        version = source.take(1)[0]
        if version > VERSION:
            raise BitstreamError(
                f"is in format version {version}, newer than this speechlm reads ({VERSION}): "
                "upgrade speechlm"
            )
        flags, num_codebooks = source.take(2)
        sample_rate, hop_length, chunk_frames = source.varint(), source.varint(), source.varint()
        weights_hash = source.take(4).hex()
        name = source.take(source.take(1)[0])
        extension = b""
        if flags & _EXTENSION:
            size = source.varint()
            if size > _MAX_EXTENSION:
                raise BitstreamError("has a damaged header")
            extension = source.take(size)
        if _check(source.taken) != source.take(2) or version != VERSION or flags & _RESERVED:
            raise BitstreamError("has a damaged header")
        try:
            model = name.decode()
        except UnicodeDecodeError:
            raise BitstreamError("has a damaged header") from None
        bits = (flags & _BITS) + 1
        context = _fields(extension).get(_CONTEXT)
        return cls(
            model,
            weights_hash,
            sample_rate,
            hop_length,
            bits,
            num_codebooks,
            chunk_frames,
            context.hex() if context is not None and len(context) == 4 else None,
        )


def _fields(extension: bytes) -> dict[int, bytes]:
    """The fields of an extension by kind; what is none is skipped."""
    fields, place = {}, 0
    while place + 2 <= len(extension):
        kind, size = extension[place : place + 2]
        place += 2
        fields[kind] = extension[place : place + size]
        place += size
    return fields


def _check(body: bytes) -> bytes:
    """CRC-16/XMODEM (CCITT polynomial, zero start), big-endian."""
    return binascii.crc_hqx(body, 0).to_bytes(2, "big")
