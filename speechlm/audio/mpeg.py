"""What an MP3 file states of its length: the frame that Xing and LAME put first."""

from __future__ import annotations

from dataclasses import dataclass

_KBPS_1 = 0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320
_KBPS_2 = 0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160
_HERTZ = 44100, 48000, 32000
FRAME_BYTES = 1500
"""More than any frame of layer III takes."""


@dataclass(frozen=True)
class Xing:
    """``frames`` samples a channel without padding, in ``bytes`` bytes; None what is not there."""

    frames: int | None
    bytes: int | None


def is_sync(head: bytes) -> bool:
    """Whether ``head`` begins with the header of a frame of layer III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    return version != 1 and layer == 1 and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3


def starts(head: bytes) -> bool:
    """Whether ``head`` begins with a frame of layer III that another one follows."""
    if not is_sync(head):
        return False
    mpeg1, rate = head[1] >> 3 & 3 == 3, head[2] >> 4
    if not rate:  # of no stated bitrate
        return False
    kbps = (_KBPS_1 if mpeg1 else _KBPS_2)[rate]
    hertz = _HERTZ[head[2] >> 2 & 3] >> (0 if mpeg1 else 1 if head[1] >> 3 & 1 else 2)
    size = (144000 if mpeg1 else 72000) * kbps // hertz + (head[2] >> 1 & 1)
    following = head[size : size + 4]
    return is_sync(following) and following[:2] == head[:2]


def xing(head: bytes) -> Xing | None:
    """What the first frame states, if it is not sound; ``head`` begins with it."""
    mpeg1, mono = head[1] >> 3 & 3 == 3, head[3] >> 6 == 3
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    body = head[4 + side :]
    if body[:4] not in (b"Xing", b"Info"):
        return None
    flags, place = int.from_bytes(body[4:8], "big"), 8
    frames = size = None
    if flags & 1:
        frames, place = int.from_bytes(body[place : place + 4], "big"), place + 4
    if flags & 2:
        size, place = int.from_bytes(body[place : place + 4], "big"), place + 4
    place += 100 * bool(flags & 4) + 4 * bool(flags & 8)
    if frames is not None:
        frames *= 1152 if mpeg1 else 576
        padding = int.from_bytes(body[place + 21 : place + 24], "big")
        frames = max(0, frames - (padding >> 12) - (padding & 0xFFF))
    return Xing(frames, size)
