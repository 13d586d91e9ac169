"""Reading forwards with second thoughts."""

from __future__ import annotations

from itertools import islice
from typing import BinaryIO

from speechlm.bitstream.errors import BitstreamError, Truncated

_VARINT_BYTES = 8  # 56 bits are enough for any count
_STEP = 32


class Lookahead:
    """Bytes of a forward-only file, taken on trial until they are accepted or given back.

    Does not read further than what is asked for, so that a chunk from a live pipe is there as soon
    as its last byte is. Holds only what has been taken since the last :meth:`accept`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = bytearray()
        self._taken = 0
        self._ended = False
        self.position = 0  # bytes accepted so far

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes.

        Raises:
            Truncated: when the file ends before; nothing is taken then.
        """
        end = self._taken + count
        while len(self._held) < end and not self._ended:
            data = self._file.read(end - len(self._held))
            self._held += data
            self._ended = not data
        if len(self._held) < end:
            raise Truncated("is cut short")
        start, self._taken = self._taken, end
        return bytes(self._held[start:end])

    def varint(self) -> int:
        """An unsigned number in base 128, least significant digit first (LEB128).

        Raises:
            Truncated: when the file ends inside it.
            BitstreamError: when it is longer than any writer makes it.
        """
        value = 0
        for place in range(_VARINT_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise BitstreamError("is damaged")

    @property
    def taken(self) -> bytes:
        """All that has been taken on trial."""
        return bytes(self._held[: self._taken])

    def accept(self) -> None:
        """Be done with what has been taken."""
        del self._held[: self._taken]
        self.position += self._taken
        self._taken = 0

    def skip_to(self, wanted: frozenset[int]) -> None:
        """Give back, and accept one byte and all that follow until the next is one of ``wanted``.

        Raises:
            Truncated: when there is none to the end of the file.
        """
        self._taken = 1
        while True:
            ahead = enumerate(islice(self._held, self._taken, None), self._taken)
            self._taken = next((place for place, byte in ahead if byte in wanted), len(self._held))
            self.accept()
            if self._held:
                return
            # By steps, for speed: the one place that may read a little more than is needed.
            self._held += self._file.read(_STEP)
            if not self._held:
                self._ended = True
                raise Truncated("is cut short")

    def give_back(self) -> None:
        """Start again from the last accepted byte."""
        self._taken = 0


def varint(value: int) -> bytes:
    """The shortest bytes that :meth:`Lookahead.varint` reads as ``value``."""
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
