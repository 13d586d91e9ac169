"""Where the sound in a file is, whatever its header states.

Recorders that were killed leave lengths of zero or of some seconds ago in the header, programs
that write to a pipe state the largest length there is, and files that were joined with ``cat``
state that of the first. :func:`examine` finds where the samples really end, so that a decoder can
be given a corrected header.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO

from speechlm.audio import flac, mpeg

_UNKNOWN_32 = 0x7FFFF000
"""Programs that cannot know a length write this or more; none less than 2 GiB is a placeholder."""
_TAGS = b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN"
_TAIL = 8  # bytes; fewer after the end are no sound that anyone misses
_PEEK = 1 << 16


@dataclass(frozen=True)
class FilePart:
    """A stretch of a file that is a sound file by itself.

    Attributes:
        start, stop: its bytes.
        patches: corrections of its header: offset in the file, and bytes.
        frames: samples a channel that the header states; None where it states none.
        present: of FLAC, the samples before its last frame; None if that is not found.
        decoder: ``libsndfile`` or ``ffmpeg``; None to try one after the other.
        notes: what is odd about it, for a warning.
    """

    start: int
    stop: int
    patches: tuple[tuple[int, bytes], ...] = ()
    frames: int | None = None
    present: int | None = None
    decoder: str | None = None
    notes: tuple[str, ...] = ()


def examine(file: BinaryIO) -> list[FilePart]:
    """The parts of an open file, of any format: one, or several that were joined."""
    stop = file.seek(0, 2)
    parts = list(_parts(file, 0, stop))
    file.seek(0)
    return parts


def _parts(file: BinaryIO, start: int, stop: int) -> Iterator[FilePart]:
    begin = _after_id3(file, start, stop)
    head = _at(file, begin, 16)
    magic, form = head[:4], head[8:12]
    if magic in (b"RIFF", b"RIFX", b"RF64", b"BW64") and form == b"WAVE":
        yield from _wave(file, begin, stop, magic)
    elif magic == b"FORM" and form in (b"AIFF", b"AIFC"):
        yield from _aiff(file, begin, stop)
    elif magic == b"caff":
        yield from _caf(file, begin, stop)
    elif magic == b".snd":
        yield from _au(file, begin, stop)
    elif magic == b"fLaC":
        yield from _flac(file, begin, stop)
    elif magic == b"OggS":
        yield from _ogg(file, begin, stop)
    elif mpeg.is_sync(head):
        yield _mpeg(file, begin, stop)
    else:
        yield FilePart(start, stop)


# --- containers of chunks -----------------------------------------------------------------------


def _wave(file: BinaryIO, start: int, stop: int, magic: bytes) -> Iterator[FilePart]:
    order = "big" if magic == b"RIFX" else "little"
    chunks = _Chunks(file, stop, order, 4, pad=2)
    found = chunks.find(b"data", start + 12)
    if found is None:
        yield FilePart(start, stop)
        return
    place, stated = found
    wide = chunks.find(b"ds64", start + 12) if magic in (b"RF64", b"BW64") else None
    if wide is not None:
        stated = int.from_bytes(_at(file, wide[0] + 8, 8), "little")
        limit = 1 << 62
    else:
        limit = _UNKNOWN_32
    end, notes = _real_end(chunks, place, stated, limit)
    riff, size = end - start - 8, end - place
    if wide is not None:
        eight = [value.to_bytes(8, "little") for value in (riff, size)]
        patches = [(wide[0], eight[0]), (wide[0] + 8, eight[1])]
        decoder = None
    elif size >= _UNKNOWN_32 * 2:  # does not fit the field; FFmpeg reads to the end of the file
        patches, decoder = [], "ffmpeg"
    else:
        patches = [
            (place - 4, size.to_bytes(4, order)),  # type: ignore[arg-type]
            (start + 4, min(riff, 0xFFFFFFFF).to_bytes(4, order)),  # type: ignore[arg-type]
        ]
        decoder = None
    yield from _with_rest(
        file, FilePart(start, stop, tuple(patches), decoder=decoder, notes=notes), end, stop
    )


def _aiff(file: BinaryIO, start: int, stop: int) -> Iterator[FilePart]:
    chunks = _Chunks(file, stop, "big", 4, pad=2)
    found, common = chunks.find(b"SSND", start + 12), chunks.find(b"COMM", start + 12)
    if found is None or common is None:
        yield FilePart(start, stop)
        return
    place, stated = found
    end, notes = _real_end(chunks, place, 0 if stated == 8 else stated, _UNKNOWN_32)
    channels = int.from_bytes(_at(file, common[0], 2), "big")
    bits = int.from_bytes(_at(file, common[0] + 6, 2), "big")
    patches = [
        (place - 4, min(end - place, 0xFFFFFFFF).to_bytes(4, "big")),
        (start + 4, min(end - start - 8, 0xFFFFFFFF).to_bytes(4, "big")),
    ]
    if channels and bits and _at(file, start + 8, 4) == b"AIFF":
        frames = max(0, end - place - 8) // (channels * ((bits + 7) // 8))
        patches.append((common[0] + 2, min(frames, 0xFFFFFFFF).to_bytes(4, "big")))
    yield from _with_rest(file, FilePart(start, stop, tuple(patches), notes=notes), end, stop)


def _caf(file: BinaryIO, start: int, stop: int) -> Iterator[FilePart]:
    chunks = _Chunks(file, stop, "big", 8, pad=1)
    found = chunks.find(b"data", start + 8)
    if found is None:
        yield FilePart(start, stop)
        return
    place, stated = found
    end, notes = _real_end(chunks, place, 0 if stated == 4 else stated, 1 << 62)
    patch = place - 8, (end - place).to_bytes(8, "big")
    yield from _with_rest(file, FilePart(start, stop, (patch,), notes=notes), end, stop)


def _au(file: BinaryIO, start: int, stop: int) -> Iterator[FilePart]:
    place = start + int.from_bytes(_at(file, start + 4, 4), "big")
    stated = int.from_bytes(_at(file, start + 8, 4), "big")
    size = stop - place
    if not 0 < size < 0xFFFFFFFF or stated == size:
        yield FilePart(start, stop)
        return
    notes = () if stated in (0, 0xFFFFFFFF) else (_note(stated, size),)
    yield FilePart(start, stop, ((start + 8, size.to_bytes(4, "big")),), notes=notes)


class _Chunks:
    """Chunks of a RIFF-like file: an id of four letters, a size and so many bytes, padded."""

    def __init__(self, file: BinaryIO, stop: int, order: str, width: int, pad: int) -> None:
        self.file, self.stop, self._order, self._width = file, stop, order, width
        self._pad = pad

    def walk(self, place: int) -> Iterator[tuple[bytes, int, int]]:
        """Id, first byte and stated size of each chunk from ``place`` on, while they are ones."""
        head = 4 + self._width
        while place + head <= self.stop:
            data = _at(self.file, place, head)
            name, size = data[:4], int.from_bytes(data[4:], self._order)  # type: ignore[arg-type]
            if not all(0x20 <= byte < 0x7F for byte in name):
                return
            yield name, place + head, size
            place += head + self.padded(size)

    def find(self, wanted: bytes, place: int) -> tuple[int, int] | None:
        """First byte and stated size of the chunk ``wanted``."""
        for name, first, size in self.walk(place):
            if name == wanted:
                return first, size
        return None

    def padded(self, size: int) -> int:
        return -(-size // self._pad) * self._pad

    def follow(self, place: int) -> bool:
        """Whether chunks, and nothing else, fill the file from ``place`` on."""
        for name, first, size in self.walk(place):
            if name in (b"RIFF", b"RIFX", b"FORM"):
                return True  # another file, joined to this one
            if first + size > self.stop:
                return False
            place = first + self.padded(size)
        return place >= self.stop or not any(_at(self.file, place, _PEEK))


def _real_end(
    chunks: _Chunks, place: int, stated: int, unknown: int
) -> tuple[int, tuple[str, ...]]:
    """Where samples that begin at ``place`` end, and what is odd about the ``stated`` size."""
    stop = chunks.stop
    if stated >= unknown:
        return stop, ()
    end = place + stated
    if end > stop:
        return stop, (_note(stated, stop - place),)
    after = place + chunks.padded(stated)
    tail = _at(chunks.file, end, 16)
    if after >= stop or chunks.follow(after) or chunks.follow(end) or tail.startswith(_TAGS):
        return end, ()
    if stop - end < _TAIL:
        return end, ()
    return stop, () if stated == 0 else (_note(stated, stop - place),)


def _note(stated: int, size: int) -> str:
    return f"its header states {stated} bytes of samples, and {size} are there, which are read"


def _with_rest(file: BinaryIO, part: FilePart, end: int, stop: int) -> Iterator[FilePart]:
    """``part``, and what follows the samples that end at ``end`` if it is another file."""
    for place in range(end, min(end + 2, stop)):
        head = _at(file, place, 12)
        if head[:4] in (b"RIFF", b"RIFX", b"FORM", b"caff", b"RF64"):
            yield replace(part, stop=place, notes=(*part.notes, "another file is joined to it"))
            yield from _parts(file, place, stop)
            return
    yield part


# --- compressed formats -------------------------------------------------------------------------


def _flac(file: BinaryIO, start: int, stop: int) -> Iterator[FilePart]:
    joined = (at for at in _find_all(file, b"fLaC", start + 4, stop) if _begins_flac(file, at))
    for number, (begin, end) in enumerate(pairwise([start, *joined, stop])):
        head, tail = _at(file, begin, flac.HEAD_BYTES), max(begin, end - flac.TAIL_BYTES)
        stated = flac.stated_frames(head)
        last = flac.last_frame(_at(file, tail, end - tail), head)
        patches: tuple[tuple[int, bytes], ...] = ()
        notes: tuple[str, ...] = ("another file is joined to it",) if number else ()
        if stated and last is not None and last[1] > stated:
            byte = _at(file, begin + flac.TOTAL, 1)[0] & 0xF0
            patches = ((begin + flac.TOTAL, bytes([byte, 0, 0, 0, 0])),)
            notes += (
                f"its header states {stated} samples, and {last[1]} are there, which are read",
            )
            stated = last[1]
        yield FilePart(begin, end, patches, stated or None, last and last[0], None, notes)


def _begins_flac(file: BinaryIO, place: int) -> bool:
    return _at(file, place + 4, 4) in (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")


def _ogg(file: BinaryIO, start: int, stop: int) -> Iterator[FilePart]:
    """Links of a chain: a logical stream that begins after others have begun and gone on."""
    places, place, going = [start], start, False
    while place + 27 <= stop:
        head = _at(file, place, 27)
        if head[:4] != b"OggS":
            break
        begins = bool(head[5] & 2)
        if begins and going:
            places.append(place)
        going = not begins
        place += 27 + head[26] + sum(_at(file, place + 27, head[26]))
    for number, (begin, end) in enumerate(pairwise([*places, stop])):
        yield FilePart(begin, end, notes=("another file is joined to it",) if number else ())


def _mpeg(file: BinaryIO, start: int, stop: int) -> FilePart:
    """An MP3 file. libsndfile goes by the Xing frame, and estimates the length if there is none."""
    end = stop
    if _at(file, max(start, stop - 128), 3) == b"TAG":
        end -= 128
    if _at(file, max(start, end - 32), 8) == b"APETAGEX":
        end -= int.from_bytes(_at(file, end - 20, 4), "little") + 32
    xing = mpeg.xing(_at(file, start, 512))
    if xing is None or xing.frames is None:
        return FilePart(start, stop, decoder="ffmpeg")
    exact = xing.bytes is not None and abs(start + xing.bytes - end) < mpeg.FRAME_BYTES
    return FilePart(start, stop, (), xing.frames, decoder="libsndfile" if exact else "ffmpeg")


def _after_id3(file: BinaryIO, start: int, stop: int) -> int:
    """Where the sound begins behind ID3v2 tags."""
    place = start
    while (head := _at(file, place, 10))[:3] == b"ID3" and len(head) == 10:
        size = 0
        for digit in head[6:]:
            size = size << 7 | digit & 0x7F
        place += 10 + size + (10 if head[5] & 0x10 else 0)
    return place if place < stop else start


def _find_all(file: BinaryIO, wanted: bytes, start: int, stop: int) -> Iterator[int]:
    """Every place between of ``wanted``."""
    try:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # not a file on a disk
        return
    with mapped:
        place = mapped.find(wanted, start, stop)
        while place >= 0:
            yield place
            place = mapped.find(wanted, place + 4, stop)


def _at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)
