"""What of FLAC must be known to tell whether a file is as long as it states (RFC 9639)."""

from __future__ import annotations

HEAD_BYTES = 42
TOTAL = 21
"""Offset of the 36 bits of the total number of samples, in the low half of the first byte on."""
TAIL_BYTES = 1 << 18
_BLOCKS = {1: 192, **{n: 144 << n for n in range(2, 6)}, **{n: 1 << n for n in range(8, 16)}}


def stated_frames(head: bytes) -> int:
    """Samples a channel that the stream information states; 0 is unknown."""
    return int.from_bytes(head[TOTAL : TOTAL + 5], "big") & ((1 << 36) - 1)


def last_frame(tail: bytes, head: bytes) -> tuple[int, int] | None:
    """First sample and end of the last frame whose header is in ``tail``; None without one."""
    smallest, largest = (int.from_bytes(head[at : at + 2], "big") for at in (8, 10))
    rest = int.from_bytes(head[18:26], "big")
    channels, bits = (rest >> 41 & 7) + 1, (rest >> 36 & 31) + 1
    place = len(tail)
    while (place := tail.rfind(b"\xff", 0, place)) >= 0:
        found = _frame(tail[place : place + 16], channels, bits)
        if found is None:
            continue
        number, size, fixed = found
        if size > largest or (fixed and smallest != largest):
            continue
        first = number * largest if fixed else number
        return first, first + size
    return None


def _frame(data: bytes, channels: int, bits: int) -> tuple[int, int, bool] | None:
    """Number, samples and whether blocks are of a fixed size, of a frame header."""
    if len(data) < 6 or data[1] & 0xFE != 0xF8:
        return None
    block, rate = data[2] >> 4, data[2] & 15
    assignment, depth, reserved = data[3] >> 4, data[3] >> 1 & 7, data[3] & 1
    depths = {0: bits, 1: 8, 2: 12, 4: 16, 5: 20, 6: 24, 7: 32}
    stereo = channels == 2 and 8 <= assignment <= 10
    if not block or rate == 15 or reserved or depths.get(depth) != bits:
        return None
    if not stereo and assignment != channels - 1:
        return None
    place, number = 5, data[4]
    if number >= 0x80:
        ones = 8 - (number ^ 0xFF).bit_length()
        if ones == 1 or ones > 7:
            return None
        number &= 0x7F >> ones
        for byte in data[5 : 4 + ones]:
            if byte & 0xC0 != 0x80:
                return None
            number = number << 6 | byte & 0x3F
        place = 4 + ones
    extra = {6: 1, 7: 2}.get(block, 0)
    size = int.from_bytes(data[place : place + extra], "big") + 1 if extra else _BLOCKS[block]
    place += extra + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if place >= len(data) or _crc8(data[:place]) != data[place]:
        return None
    return number, size, not data[1] & 1


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _TABLE[value ^ byte]
    return value


def _table() -> bytes:
    values = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF
        values.append(value)
    return bytes(values)


_TABLE = _table()
