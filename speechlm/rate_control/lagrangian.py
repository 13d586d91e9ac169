"""Lagrangian bit allocation over frames (Shoham & Gersho 1988)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from speechlm.bitstream import ABSENT
from speechlm.types import Floats, Ints

Cost = Callable[[NDArray[np.int64]], Floats]

STAY_BITS, SWITCH_BITS = 0.5, 4.0
"""Bits of the number of levels of a frame: the same as the frame before, or another."""

_MIDDLE_PRICE, _PRICE_STEP = 1.25e-3, 0.7


def fixed_cost(bits: float) -> Cost:
    """The cost of packed codes."""
    return lambda codes: np.full(codes.shape, float(bits))


def cumulative(bits: Floats) -> Floats:
    """Bits (codebooks + 1, frames) of the first k levels, from those of each (codebooks,
    frames)."""
    return np.concatenate([np.zeros((1, bits.shape[1])), np.cumsum(bits, axis=0)])


def truncate(codes: NDArray[np.int64], counts: Ints) -> NDArray[np.int64]:
    """Ragged codes: the first ``counts`` (frames,) levels of ``codes`` (codebooks, frames)."""
    return np.where(np.arange(len(codes))[:, None] < counts, codes, ABSENT)


def quality_price(quality: float) -> float:
    """The Lagrange multiplier (error per bit) of a quality of 0 to 10.

    A step is a fixed ratio. Prices are in squared error per dimension of unit variance, of a frame
    as loud as a recording's loudest, so they mean much the same for any model.
    """
    return _MIDDLE_PRICE * _PRICE_STEP ** (quality - 5)


def viterbi_levels(loss: Floats, bits: Floats, price: float, before: int) -> Ints:
    """Levels of each frame that minimise loss + price * bits over all frames.

    By dynamic programming (Viterbi): a frame with the number of levels of the one before takes
    fewer bits for that number. ``loss`` and ``bits`` are (codebooks + 1, frames), ``bits`` of the
    first k levels together; ``before`` is the number of levels of the frame before the first.
    """
    choices, frames = loss.shape
    total = (loss + price * bits).T
    penalty = price * (SWITCH_BITS - STAY_BITS)
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


def price_of_budget(loss: Floats, bits: Floats, budget: float) -> float:
    """The price at which the frames, each by itself, spend ``budget`` bits on their levels."""
    frames = np.arange(loss.shape[1])

    def spent(price: float) -> float:
        return float(bits[(loss + price * bits).argmin(axis=0), frames].sum())

    return bisect_price(spent, budget)


def bisect_price(spent: Callable[[float], float], budget: float) -> float:
    """The least price at which no more than ``budget`` bits are spent, which rise as it falls."""
    low, high = -25.0, 10.0  # of the logarithm
    for _ in range(20):
        middle = (low + high) / 2
        if spent(np.exp(middle)) > budget:
            low = middle
        else:
            high = middle
    return float(np.exp(high))
