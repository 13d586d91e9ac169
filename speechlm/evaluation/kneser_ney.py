"""What a language model of units must beat: n-grams of units."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from speechlm.text.kneser_ney import KneserNey
from speechlm.types import Floats, Ints


class UnitNgrams:
    """An n-gram model of each level of units.

    Args:
        order: 1 looks at nothing, 2 at one unit, and so on.
        over: ``time``: at what came before in the level; ``levels``: at the level above in the
            frame first, then at what came before, and so on in turn.
    """

    def __init__(
        self,
        codes: Iterable[NDArray[np.integer]],
        codebook_size: int,
        order: int,
        over: str = "time",
    ):
        if over not in ("time", "levels"):
            raise ValueError(f"over is time or levels, not {over}")
        self.codebook_size = codebook_size
        self.order = order
        self.over = over
        examples = [each for each in codes if each.shape[1]]
        self.levels = [
            KneserNey(
                np.concatenate([each[level] for each in examples]),
                np.concatenate([self._contexts(each, level) for each in examples]),
                codebook_size,
            )
            for level in range(len(examples[0]))
        ]

    def bits(self, codes: NDArray[np.integer]) -> Floats:
        """Bits (levels, frames) of codes (levels, frames): -log2 of what they are given."""
        rows = [
            model.probability(codes[level], self._contexts(codes, level))
            for level, model in enumerate(self.levels)
        ]
        return -np.log2(np.stack(rows))

    def _contexts(self, codes: NDArray[np.integer], level: int) -> Ints:
        """Contexts (frames, order - 1) of a level, the nearest first."""
        nothing = np.full(codes.shape[1], self.codebook_size, np.int64)

        def back(frames: int) -> Ints:
            return np.concatenate([nothing[:frames], codes[level]])[: codes.shape[1]]

        past = [back(frames) for frames in range(1, self.order)]
        if self.over == "levels":
            above = [codes[k].astype(np.int64) for k in range(level - 1, -1, -1)]
            turns = [each for pair in zip(above, past, strict=False) for each in pair]
            past = turns + past[len(above) :]
        return np.array([nothing, *past[: self.order - 1]])[1:].T
