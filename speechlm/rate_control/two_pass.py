"""A whole recording at a size that is met."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from speechlm.rate_control.lagrangian import (
    STAY_BITS,
    SWITCH_BITS,
    bisect_price,
    cumulative,
    viterbi_levels,
)
from speechlm.types import Floats, Ints

_TRIES = 6
_CLOSE = 0.003


def fit_size(
    bits: Floats, loss: Floats, size: Callable[[Ints], int], target: float, at_most: bool = False
) -> Ints:
    """Levels (frames,) with which a recording takes ``target`` bytes, at the least loss.

    A few prices are tried, each with what the last one took more than was reckoned.

    Args:
        bits, loss: see the package.
        size: real bytes of everything that is written for some counts.
        at_most: whether ``target`` must not be exceeded, rather than met as nearly as may be.

    Returns:
        The counts tried whose size is nearest to the target: with ``at_most``, of those within it.
        No levels at all when there are none.
    """
    spent = cumulative(bits)
    num_codebooks, frames = bits.shape
    each = np.arange(frames)
    best, full = np.zeros(frames, np.int64), np.full(frames, num_codebooks, np.int64)
    if target >= size(full):
        return full

    def at(price: float) -> Ints:
        return viterbi_levels(loss, spent, price, num_codebooks)

    def reckoned(counts: Ints) -> float:
        moves = np.count_nonzero(np.diff(counts))
        return float(spent[counts, each].sum()) + (SWITCH_BITS - STAY_BITS) * moves

    nearest = abs(target - size(best))
    beside, goal = float(8 * size(best)), target * (1 - _CLOSE / 2) if at_most else target
    for _ in range(_TRIES):
        counts = at(bisect_price(lambda price: reckoned(at(price)), goal * 8 - beside))
        real = size(counts)
        if abs(target - real) < nearest and not (at_most and real > target):
            best, nearest = counts, abs(target - real)
        if nearest <= _CLOSE * target:
            break
        if at_most and real > target:
            goal -= _CLOSE * target
        beside = 8 * real - reckoned(counts)
    return best
