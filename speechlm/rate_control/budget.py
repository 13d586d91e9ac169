"""Bits earned and spent."""

from __future__ import annotations

from speechlm.bitstream.level_counts import CountMeter

_HEADER_SECONDS = 10.0


class Budget:
    """What a stream of so many bits a frame may spend, against what it did.

    The header is paid off over ten seconds, what surrounds chunks frame by frame. Spending is an
    estimate until chunks are out; :meth:`settle` puts their real size in its place.

    Args:
        per_frame: bits a frame, everything included.
        frame_rate: frames a second.
        header: bits of the header, and of all else that comes once.
        around: bits around the codes of a chunk.
        num_codebooks, chunk_frames: of the stream.

    Attributes:
        income: bits a frame for codes and their number.
        ahead: bits earned and not spent; below zero, overspent.
    """

    def __init__(
        self,
        per_frame: float,
        frame_rate: float,
        header: float,
        around: float,
        num_codebooks: int,
        chunk_frames: int,
    ) -> None:
        self.per_frame = per_frame
        self.ahead = 0.0
        self._around = around / chunk_frames
        self._owed = header
        self._share = header / (_HEADER_SECONDS * frame_rate)
        self._num_codebooks = num_codebooks
        self._chunk_frames = chunk_frames
        self._frames = 0
        self._pending: list[float] = []

    @property
    def income(self) -> float:
        return self.per_frame - self._around - min(self._share, self._owed)

    def earn(self) -> None:
        """Begin a frame."""
        self.ahead += self.income
        self._owed -= min(self._share, self._owed)

    def spend(self, count: int, bits: float) -> None:
        """Keep ``count`` levels of the frame, whose codes take so many ``bits``."""
        if self._frames % self._chunk_frames == 0:
            self._meter = CountMeter(self._num_codebooks)
        self._frames += 1
        bits += self._meter.push(count)
        self.ahead -= bits
        self._pending.append(bits + self._around)

    def settle(self, frames: int, bits: int) -> None:
        """The next ``frames`` frames that were spent on really took so many ``bits``."""
        self.ahead += sum(self._pending[:frames]) - bits
        del self._pending[:frames]
