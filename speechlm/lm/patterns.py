"""Codebook patterns: how the codes of several levels become the columns of a language model.

A pattern is a value: the number of levels and the layout, no state. It lays codes (levels, frames)
out as rows and columns, and back. After the codebook patterns of
MusicGen (Copet et al. 2023). Below, ``c2`` is the third code of level c, and ``.`` is no code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError
from speechlm.types import Codes

NO_TOKEN = -1
"""Marks positions without a code."""


def prepend_unknown_levels(codes: NDArray[np.integer], levels: int = 1) -> Codes:
    """``codes`` (rows, frames) below so many levels of unknown codes."""
    return np.pad(codes.astype(np.int64), ((levels, 0), (0, 0)), constant_values=NO_TOKEN)


def offset_codes(codes: NDArray[np.integer], firsts: Codes) -> Codes:
    """Ids (levels, frames): ``codes`` counted from the first id (levels,) of each level."""
    known = codes.astype(np.int64)
    return np.where(known < 0, NO_TOKEN, known + firsts[:, None])


@dataclass(frozen=True)
class Pattern(ABC):
    """The layout of frames of ``levels`` levels.

    What ends a stretch of frames (the end of speech) stands in row 0 of column :meth:`end`: the
    first one after its last code, so that a model asked for the next code of row 0 says it in time.
    """

    levels: int

    @property
    @abstractmethod
    def rows(self) -> int:
        """Rows of a column."""

    @abstractmethod
    def columns(self, frames: int) -> int:
        """Columns that hold so many frames."""

    @property
    def stride(self) -> int:
        """Columns that a further frame takes."""
        return self.columns(2) - self.columns(1)

    @abstractmethod
    def end(self, frames: int) -> int:
        """The first column from which row 0 has no code any more."""

    @abstractmethod
    def build(self, codes: Codes) -> Codes:
        """Lay codes (levels, frames) out as (rows, columns), with -1 where there is none."""

    @abstractmethod
    def revert(self, laid: Codes) -> Codes:
        """The inverse of :meth:`build`."""

    def check(self, codes: Codes, axis: str, size: int) -> None:
        """Raises: ValueError, unless ``codes`` has two dimensions and ``size`` in the first."""
        if codes.ndim != 2 or len(codes) != size:
            raise ValueError(f"expected codes of {size} {axis}, got the shape {codes.shape}")


@dataclass(frozen=True)
class DepthPattern(Pattern):
    """A frame is a column. Its levels are predicted by a second, small model, one after the other.

    As in RQ-Transformer (Lee et al. 2022) and Moshi (Défossez et al. 2024)::

        a0 a1 a2        a0 a1 a2
        b0 b1 b2   ->   b0 b1 b2
        c0 c1 c2        c0 c1 c2
    """

    @property
    def rows(self) -> int:
        return self.levels

    def columns(self, frames: int) -> int:
        return frames

    def end(self, frames: int) -> int:
        return frames

    def build(self, codes: Codes) -> Codes:
        self.check(codes, "levels", self.levels)
        return codes.copy()

    def revert(self, laid: Codes) -> Codes:
        self.check(laid, "rows", self.levels)
        return laid.copy()


@dataclass(frozen=True)
class DelayPattern(Pattern):
    """Each level lags the one above it by a column, so a column's codes may be predicted at once.

    As in MusicGen::

        a0 a1 a2        a0 a1 a2 .  .
        b0 b1 b2   ->   .  b0 b1 b2 .
        c0 c1 c2        .  .  c0 c1 c2
    """

    @property
    def rows(self) -> int:
        return self.levels

    def columns(self, frames: int) -> int:
        return frames + self.levels - 1 if frames else 0

    def end(self, frames: int) -> int:
        return frames

    def build(self, codes: Codes) -> Codes:
        self.check(codes, "levels", self.levels)
        frames = codes.shape[1]
        laid = np.full((self.levels, self.columns(frames)), NO_TOKEN, np.int64)
        for level, row in enumerate(codes):
            laid[level, level : level + frames] = row
        return laid

    def revert(self, laid: Codes) -> Codes:
        self.check(laid, "rows", self.levels)
        frames = max(laid.shape[1] - self.levels + 1, 0)
        return np.stack([row[level : level + frames] for level, row in enumerate(laid)])


@dataclass(frozen=True)
class FlattenPattern(Pattern):
    """One code a column, frame after frame: one model sees and predicts all, in as many steps::

    a0 a1 a2
    b0 b1 b2   ->   a0 b0 c0 a1 b1 c1 a2 b2 c2
    c0 c1 c2
    """

    @property
    def rows(self) -> int:
        return 1

    def columns(self, frames: int) -> int:
        return frames * self.levels

    def end(self, frames: int) -> int:
        return frames * self.levels

    def build(self, codes: Codes) -> Codes:
        self.check(codes, "levels", self.levels)
        return codes.T.reshape(1, -1).copy()

    def revert(self, laid: Codes) -> Codes:
        self.check(laid, "rows", 1)
        if laid.shape[1] % self.levels:
            raise ValueError(f"{laid.shape[1]} columns are no whole frames of {self.levels}")
        return laid.reshape(-1, self.levels).T.copy()


PATTERNS: dict[str, type[Pattern]] = {
    "depth": DepthPattern,
    "delay": DelayPattern,
    "flatten": FlattenPattern,
}


def pattern(kind: str, levels: int) -> Pattern:
    """The pattern ``kind`` for so many levels.

    Raises:
        SpeechLMError: when there is no such pattern, or no level.
    """
    if kind not in PATTERNS:
        raise SpeechLMError(f"pattern is one of {', '.join(PATTERNS)}, not {kind}")
    if levels < 1:
        raise SpeechLMError(f"a pattern has one level or more, not {levels}")
    return PATTERNS[kind](levels)
