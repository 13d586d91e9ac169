"""Bits against error, frame by frame: the Lagrangian way (Shoham & Gersho 1988)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from speechlm.bitstream import ABSENT
from speechlm.types import Floats, Ints

Cost = Callable[[NDArray[np.int64]], Floats]

STAY, MOVE = 0.5, 4.0
"""Bits that the number of levels of a frame takes when it is the last frame's, and when not."""

_MIDDLE_PRICE, _PRICE_STEP = 1.25e-3, 0.7


def fixed_cost(bits: float) -> Cost:
    """The cost of packed codes."""
    return lambda codes: np.full(codes.shape, float(bits))


def cumulative(bits: Floats) -> Floats:
    """Bits (levels + 1, frames) of the first k levels, from those of each (levels, frames)."""
    return np.concatenate([np.zeros((1, bits.shape[1])), np.cumsum(bits, axis=0)])


def cut(codes: NDArray[np.int64], counts: Ints) -> NDArray[np.int64]:
    """Ragged codes: of ``codes`` (levels, frames), so many of each frame (frames,)."""
    return np.where(np.arange(len(codes))[:, None] < counts, codes, ABSENT)


def quality_price(quality: float) -> float:
    """What a bit is worth, in error, at a quality of 0 to 10.

    A step is a fixed ratio. Prices are in squared error per dimension of unit variance, of a frame
    as loud as a recording's loudest, so they mean much the same for any model.
    """
    return _MIDDLE_PRICE * _PRICE_STEP ** (quality - 5)


def keep(loss: Floats, bits: Floats, price: float, before: int) -> Ints:
    """Levels of each frame, with the least sum of loss and priced bits over all frames.

    By dynamic programming (Viterbi), since a frame that stays with the number of levels of the one
    before says so in fewer bits. ``loss`` and ``bits`` are (levels + 1, frames), ``bits`` of the
    first k levels together; ``before`` is the number of levels of the frame before the first.
    """
    choices, frames = loss.shape
    total = (loss + price * bits).T
    penalty = price * (MOVE - STAY)
    best = np.full(choices, penalty)
    best[before] = 0.0
    came = np.empty((frames, choices), np.int16)
    stay = np.arange(choices)
    for frame in range(frames):
        cheapest = best.argmin()
        moved = best[cheapest] + penalty
        came[frame] = np.where(best <= moved, stay, cheapest)
        best = np.minimum(best, moved) + total[frame]
    counts = np.empty(frames, np.int64)
    count = int(best.argmin())
    for frame in range(frames - 1, -1, -1):
        counts[frame] = count
        count = int(came[frame, count])
    return counts


def price_for(loss: Floats, bits: Floats, budget: float) -> float:
    """The price at which the frames, each by itself, spend ``budget`` bits on their levels."""
    frames = np.arange(loss.shape[1])

    def spent(price: float) -> float:
        return float(bits[(loss + price * bits).argmin(axis=0), frames].sum())

    return solve(spent, budget)


def solve(spent: Callable[[float], float], budget: float) -> float:
    """The least price at which no more than ``budget`` bits are spent, which rise as it falls."""
    low, high = -25.0, 10.0  # of the logarithm
    for _ in range(20):
        middle = (low + high) / 2
        if spent(np.exp(middle)) > budget:
            low = middle
        else:
            high = middle
    return float(np.exp(high))
