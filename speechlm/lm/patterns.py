"""Codebook patterns: how the codes of several codebooks become the columns of a language model.

A pattern is a value that training and decoding share: it lays codes (codebooks, frames) out as rows
and columns and back, and says which codes a column holds. After the codebook patterns of MusicGen
(Copet et al. 2023). Below, ``c2`` is the third code of codebook c, and ``.`` is no code.

``depth``: a frame is a column; a second, small model predicts its codes one after the other, as in
RQ-Transformer (Lee et al. 2022) and Moshi (Défossez et al. 2024)::

    a0 a1 a2        a0 a1 a2
    b0 b1 b2   ->   b0 b1 b2
    c0 c1 c2        c0 c1 c2

``delay``: each codebook lags the one above it by a column, so that a column's codes may be
predicted at once, as in MusicGen::

    a0 a1 a2        a0 a1 a2 .  .
    b0 b1 b2   ->   .  b0 b1 b2 .
    c0 c1 c2        .  .  c0 c1 c2

``flatten``: a code is a column, frame after frame; one model predicts all, in as many steps::

    a0 a1 a2
    b0 b1 b2   ->   a0 b0 c0 a1 b1 c1 a2 b2 c2
    c0 c1 c2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError
from speechlm.types import Codes

NO_TOKEN = -1
"""Marks positions without a code."""


def prepend_unknown_codebooks(codes: NDArray[np.integer], num_codebooks: int = 1) -> Codes:
    """``codes`` (rows, frames) below so many levels of unknown codes."""
    return np.pad(codes.astype(np.int64), ((num_codebooks, 0), (0, 0)), constant_values=NO_TOKEN)


def offset_codes(codes: NDArray[np.integer], firsts: Codes) -> Codes:
    """Ids (codebooks, frames): ``codes`` counted from the first id (codebooks,) of each level."""
    known = codes.astype(np.int64)
    return np.where(known < 0, NO_TOKEN, known + firsts[:, None])


class Cell(NamedTuple):
    """A code of a column: its row, its codebook, and its frame, which is negative before speech."""

    row: int
    codebook: int
    frame: int


@dataclass(frozen=True)
class Pattern:
    """A layout: the code of frame t of codebook c stands in row ``places[c]`` of column
    ``stride * t + offsets[c]``.

    What ends a stretch of frames (the end of speech) stands in row 0 of column :meth:`end`: the
    first one after its last code, so that a model predicts it in place of the next code of row 0.

    Attributes:
        stride: columns that a further frame takes.
        places: the row of each codebook.
        offsets: the column of each codebook's first code.
    """

    stride: int
    places: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def num_codebooks(self) -> int:
        """Number of codebooks."""
        return len(self.places)

    @property
    def rows(self) -> int:
        """Rows of a column."""
        return max(self.places) + 1

    def columns(self, frames: int) -> int:
        """Columns that hold so many frames."""
        return self.stride * (frames - 1) + max(self.offsets) + 1 if frames else 0

    def end(self, frames: int) -> int:
        """The first column from which row 0 has no code any more."""
        last = max(at for row, at in zip(self.places, self.offsets, strict=True) if row == 0)
        return self.stride * (frames - 1) + last + 1 if frames else 0

    def cells(self, column: int) -> list[Cell]:
        """The codes of a column, in the order of their codebooks."""
        found = []
        for codebook, (row, offset) in enumerate(zip(self.places, self.offsets, strict=True)):
            frame, rest = divmod(column - offset, self.stride)
            if rest == 0:
                found.append(Cell(row, codebook, frame))
        return found

    def build(self, codes: Codes) -> Codes:
        """Lay codes (codebooks, frames) out as (rows, columns), with -1 where there is none.

        Raises:
            ValueError: unless there are as many codebooks as the pattern has.
        """
        _check(codes, "codebooks", self.num_codebooks)
        laid = np.full((self.rows, self.columns(codes.shape[1])), NO_TOKEN, np.int64)
        for view, row in zip(self._views(laid, codes.shape[1]), codes, strict=True):
            view[:] = row
        return laid

    def revert(self, laid: Codes) -> Codes:
        """The inverse of :meth:`build`.

        Raises:
            ValueError: unless ``laid`` has the pattern's rows and columns of whole frames.
        """
        _check(laid, "rows", self.rows)
        columns = laid.shape[1]
        if columns % self.stride:
            raise ValueError(f"{columns} columns are no whole frames of {self.stride}")
        frames = max((columns - max(self.offsets) - 1) // self.stride + 1, 0)
        return np.stack(self._views(laid, frames))

    def _views(self, laid: Codes, frames: int) -> list[Codes]:
        """Where the codes (frames,) of each codebook stand in ``laid``."""
        return [
            laid[row, offset : offset + self.stride * frames : self.stride]
            for row, offset in zip(self.places, self.offsets, strict=True)
        ]


def _check(codes: Codes, axis: str, size: int) -> None:
    if codes.ndim != 2 or len(codes) != size:
        raise ValueError(f"expected codes of {size} {axis}, got the shape {codes.shape}")


PATTERNS: dict[str, Callable[[int], Pattern]] = {
    "depth": lambda number: Pattern(1, tuple(range(number)), (0,) * number),
    "delay": lambda number: Pattern(1, tuple(range(number)), tuple(range(number))),
    "flatten": lambda number: Pattern(number, (0,) * number, tuple(range(number))),
}
"""Patterns by name, for a number of codebooks."""


def pattern(kind: str, num_codebooks: int) -> Pattern:
    """The pattern ``kind`` for so many codebooks.

    Raises:
        SpeechLMError: when there is no such pattern, or no codebook.
    """
    if kind not in PATTERNS:
        raise SpeechLMError(f"pattern is one of {', '.join(PATTERNS)}, not {kind}")
    if num_codebooks < 1:
        raise SpeechLMError(f"a pattern has one codebook or more, not {num_codebooks}")
    return PATTERNS[kind](num_codebooks)
