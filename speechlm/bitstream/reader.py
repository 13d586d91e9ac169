"""Bytes to codes, chunk by chunk, through damage if asked to."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from speechlm.bitstream.allowance import frames_left
from speechlm.bitstream.chunk import Chunk, LostChunk
from speechlm.bitstream.chunk_format import CHECK_BYTES, TAGS, Shape, check, number_mark
from speechlm.bitstream.coders import ENTROPY, ModelCoder, coders
from speechlm.bitstream.errors import BitstreamError, Truncated
from speechlm.bitstream.header import MAGIC, Header
from speechlm.bitstream.peekable import Lookahead

log = logging.getLogger(__name__)

SHARED = "model", "weights_hash", "context", "sample_rate", "hop_length", "bits"
"""Fields of a header that streams have in common that can be joined."""
MAX_DELAY = 0.5
"""Seconds; no decoder lags by more, so a length is shorter than its frames by less than that."""
_STARTS = TAGS | {MAGIC[0]}
_GAP = 256  # chunks in a row that may be missing
# What looking for the next good chunk may cost, in bytes checked in vain: so much to begin with,
# and so much more for each byte of the stream. One trial costs as much as checking 4 KiB; random
# bytes cost about 150 each. A stream made to be slow is given up.
_TRIAL = 1 << 12
_SEARCH = 1 << 26
_SEARCH_PER_BYTE = 1 << 9


class Reader:
    """Read a stream strictly forwards: iterate over its chunks.

    Reads no byte further than it must, so it works live on a pipe. Memory is bounded by the
    largest chunk that a header may announce (2**18 codes).

    With ``conceal``, damage after the header is no error: the chunks that it cost come as
    :class:`LostChunk`, and reading goes on at the next good chunk. A chunk's check covers its
    number, so the gap has the right length; only at the end of a damaged stream is it estimated,
    from the bytes that are left.

    Where another stream by the same model follows, as when files were joined with ``cat``, it is
    read on as a further part of the sound. Other bytes after the end are logged, and ignored.

    A stream that claims more sound than its bytes can pay for
    (:mod:`speechlm.bitstream.allowance`) is an error; a gap is made no longer than that.

    ``entropy`` decodes the chunks that the model's entropy model coded. Without it, or with that of
    another entropy model than the header names, everything but their codes is there.

    Attributes:
        header: what the stream states about itself; of several that were joined, the first.
        headers: those that have been read.
        header_bytes: what they take.
        ends_empty: whether the chunk that holds the length holds no frames, and so is not given.
        parts: sounds that have been joined to one, so far.
        frames: up to the end of the chunk that was read last.
        samples: the exact length of the sound: set when the last chunk has been read (by the time
            it is handed out, or when iteration ends if it holds no frames); None before, when
            another stream turns out to follow, and for a stream whose end is lost.

    Raises:
        BitstreamError: when the stream is not one, newer, cut short or damaged, or a chunk is in a
            coding that this version does not know.
    """

    samples: int | None
    _again: Chunk | LostChunk | None

    def __init__(
        self,
        file: BinaryIO,
        conceal: bool = False,
        entropy: ModelCoder | None = None,
        name: str | None = None,
    ) -> None:
        known = getattr(file, "name", None)
        self._name = name or (known if isinstance(known, str) else "stream")
        self._file = file
        self._conceal = conceal
        source = Lookahead(file)
        try:
            self.header = Header.parse(source)
        except Truncated:
            raise BitstreamError(f"{self._name}: ends inside its header") from None
        except BitstreamError as error:
            raise BitstreamError(f"{self._name}: {error}") from None
        self._start = source.taken
        named = entropy is not None and entropy.hash == self.header.context
        self._coders = coders(self.header.bits, entropy if named else None)
        self._first = file.tell() if file.seekable() else None
        self._restart()

    def __iter__(self) -> Iterator[Chunk | LostChunk]:
        return self

    def __next__(self) -> Chunk | LostChunk:
        item = self._again or next(self._items)
        self._again = None
        self.frames = item.start + item.frames
        return item

    def seek(self, frame: int) -> int:
        """Make the next item the one that holds ``frame``, and return its first frame.

        What lies between is checked, not unpacked.

        Raises:
            BitstreamError: when there is no such frame, or it lies behind on a pipe.
        """
        if frame < self.frames:
            if self._first is None:
                raise BitstreamError(f"{self._name}: a pipe cannot be read backwards")
            self._file.seek(self._first)
            self._restart()
        for item in self:
            if frame < self.frames:
                self._again = item
                self.frames = item.start
                return item.start
        raise BitstreamError(f"{self._name}: ends before frame {frame}")

    def _restart(self) -> None:
        self._source = Lookahead(self._file)
        self.headers: list[Header] = []
        self.header_bytes = 0
        self.parts = 1
        self.ends_empty = False
        self._begin(self.header, self._start)
        self._searched = 0
        self._trimmed = 0  # samples, in all parts that have ended
        self._items = self._read()
        self._again = None
        self.frames = 0
        self.samples = None

    def _begin(self, header: Header, data: bytes) -> None:
        """Read on under a header, of these bytes."""
        self._current, self._head = header, zlib.crc32(data)
        self.headers.append(header)
        self.header_bytes += len(data)
        self._number = 0  # of the next chunk

    def _read(self) -> Iterator[Chunk | LostChunk]:
        start = 0
        while True:
            number, place = self._number, self._source.position
            shape, payload, trouble = self._expected()
            if trouble and not self._conceal:
                seconds = start / self.header.frame_rate
                raise BitstreamError(
                    f"{self._name}: {trouble} in chunk {number}, at {seconds:.2f} s; --conceal "
                    "decodes the rest"
                )
            if trouble:
                found = self._search()
                whole = not isinstance(found, tuple)
                lost = self._affordable(self._lost(shape, place, number, to_the_end=whole), start)
                while lost > 0:
                    frames = min(lost, self._current.chunk_frames)
                    gap = LostChunk(start, self._sample(start), frames)
                    start, lost = start + gap.frames, lost - gap.frames
                    yield gap
                if found is None:
                    return
                if isinstance(found, Header):
                    self._join(found)
                    continue
                shape, payload = found
            assert shape is not None
            self._source.accept()
            self._check(shape, start)
            number, first, start = self._number, start, start + shape.frames
            sample = self._sample(first)
            self._number += 1
            self._trimmed += shape.trim or 0
            if shape.last:
                self.samples, self.ends_empty = self._sample(start), not shape.frames
            follows = shape.last and not shape.frames and self._joined()
            if shape.frames or (shape.trim is not None and (not shape.last or follows)):
                self.parts += shape.trim is not None and not shape.last
                size = len(shape.to_bytes(self._current)) + shape.size + CHECK_BYTES
                yield Chunk(
                    number,
                    first,
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
            if shape.last and not (follows or (shape.frames and self._joined())):
                return

    def _check(self, shape: Shape, start: int) -> None:
        """Raises: BitstreamError, when a good chunk asks for what no stream of ours needs."""
        header, place = self.header, f"{self._name}: chunk {self._number}"
        if shape.coding > ENTROPY:
            raise BitstreamError(
                f"{place} is in coding {shape.coding}, which this speechlm does not know: upgrade "
                "speechlm"
            )
        if (shape.trim or 0) >= header.hop_length + header.sample_rate * MAX_DELAY:
            raise BitstreamError(f"{place} states a length that is not that of its frames")
        if shape.frames > frames_left(start, self._source.position, header.frame_rate):
            seconds = (start + shape.frames) / header.frame_rate
            raise BitstreamError(
                f"{place} claims {seconds:.0f} s of sound in {self._source.position} bytes: not a "
                "stream by speechlm"
            )

    def _affordable(self, lost: int, start: int) -> int:
        """The frames of a gap, or as many as may be."""
        rate = self.header.frame_rate
        left = frames_left(start, self._source.position, rate)
        if lost > left:
            log.warning(
                "%s: a gap of %.0f s is made one of %.0f s", self._name, lost / rate, left / rate
            )
        return min(lost, left)

    def _joined(self) -> bool:
        """Whether another stream follows, whose header is then taken."""
        source = self._source
        try:
            source.take(1)
        except Truncated:
            return False
        source.give_back()
        try:
            header = Header.parse(source)
        except BitstreamError:
            source.give_back()
            log.warning("%s: bytes that follow its end are ignored", self._name)
            return False
        self._join(header)
        return True

    def _join(self, header: Header) -> None:
        """Read on under another header, which has been taken.

        Raises:
            BitstreamError: when it is by another model.
        """
        for name in SHARED:
            ours, its = getattr(self.header, name), getattr(header, name)
            if ours != its:
                raise BitstreamError(
                    f"{self._name}: another recording is joined to it, whose "
                    f"{name.replace('_', ' ')} is {its}, not {ours}: separate them"
                )
        self._begin(header, self._source.taken)
        self._source.accept()
        self.samples = None
        self.parts += 1

    def _sample(self, frame: int) -> int:
        """Where ``frame``, of the part that is read, begins in the sound."""
        return max(0, frame * self.header.hop_length - self._trimmed)

    def _expected(self) -> tuple[Shape | None, bytes, str]:
        """Take the next chunk: its fields as far as they can be read, payload, and any trouble."""
        shape, payload = None, b""
        try:
            shape = Shape.parse(self._source, self._current)
            payload, mark = self._body(shape)
        except BitstreamError as error:
            return shape, payload, str(error)
        return shape, payload, "" if mark == number_mark(self._number) else "is damaged"

    def _body(self, shape: Shape) -> tuple[bytes, int]:
        """Take the payload and the check, and return the payload and the mark of its number."""
        payload = self._source.take(shape.size)
        as_first = check(self._head, self._source.taken, 0)
        return payload, int.from_bytes(self._source.take(CHECK_BYTES), "little") ^ as_first

    def _search(self) -> tuple[Shape, bytes] | Header | None:
        """Go on to the next good chunk, take it and set its number, or to the next header.

        None when there is neither.
        """
        source = self._source
        marks = {number_mark(self._number + ahead): ahead for ahead in range(_GAP)}
        while self._searched <= _SEARCH + _SEARCH_PER_BYTE * source.position:
            source.give_back()
            self._searched += _TRIAL
            try:
                if (header := self._header_here()) is not None:
                    return header
                shape = Shape.parse(source, self._current)
                payload, mark = self._body(shape)
                if mark in marks:
                    self._number += marks[mark]
                    return shape, payload
                self._searched += shape.size
            except BitstreamError:  # Truncated too: a shorter chunk may follow
                pass
            try:
                source.skip_to(_STARTS)
            except Truncated:
                return None
        return None

    def _header_here(self) -> Header | None:
        """Take the header that is next; None, and nothing taken, when there is none."""
        source = self._source
        if source.take(1) == MAGIC[:1]:
            source.give_back()
            try:
                header = Header.parse(source)
                if all(getattr(header, name) == getattr(self.header, name) for name in SHARED):
                    return header
            except BitstreamError:
                pass
        source.give_back()
        return None

    def _lost(self, stated: Shape | None, place: int, number: int, to_the_end: bool) -> int:
        """Frames missing between byte ``place``, where chunk ``number`` should be, and here.

        A lost chunk counts as a full one. The fields that a damaged one states are believed instead
        if it is no full one's size and ends where the next good one begins, or if it ends at or
        beyond the end of the stream.
        """
        header, here = self._current, self._source.position
        full = 1 + header.chunk_bytes + CHECK_BYTES
        stated_end = -1
        if stated is not None:
            stated_end = place + len(stated.to_bytes(header)) + stated.size + CHECK_BYTES
        if not to_the_end:
            frames = (self._number - number) * header.chunk_frames
            if stated is not None and stated_end == here != place + full:
                frames += stated.frames - header.chunk_frames
            return frames
        if stated is not None and stated_end >= here:
            return stated.frames
        chunks, rest = divmod(here - place, full)
        frames = rest * 8 // (header.num_codebooks * header.bits)
        return chunks * header.chunk_frames + min(frames, header.chunk_frames)
