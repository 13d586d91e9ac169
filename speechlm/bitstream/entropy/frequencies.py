"""From scores to the integer frequencies of a range coder, without a float that could round.

Scores are integers in sixteenths of a bit. Their powers of two come from a table that integer
square roots define; the frequencies are whole and sum to exactly 2**24, which is what
``constriction`` works with. It takes "probabilities" as floats, gives every symbol one of the 2**24
parts and scales the rest to what was passed. Whole numbers that sum to 2**24 less the number of
symbols are exact in float32 and scaled by exactly one, so the frequency of a symbol is the number
passed plus one, in any order of summation.
"""

from __future__ import annotations

from math import isqrt

import numpy as np

PRECISION = 24  # bits: all frequencies together
STEPS = 16  # of a score, per bit
_TOP = 20  # bits of the weight of the best score
_RECIPROCAL = 32  # bits after the point


def _power(step: int) -> int:
    """``2 ** (_TOP - step / STEPS)``, rounded down: a sixteenth root by four square roots."""
    return isqrt(isqrt(isqrt(isqrt(1 << (_TOP * STEPS - step)))))


POWERS = np.array([_power(step) for step in range(_TOP * STEPS + 1)] + [0], np.int64)
"""Weights of scores by their distance to the best; what is more than ``_TOP`` bits below has 0."""


def from_scores(scores: np.ndarray) -> np.ndarray:
    """Frequencies less one, float32 (n, symbols), of whole scores (n, symbols) of any real type."""
    below = (scores.max(axis=1, keepdims=True) - scores).astype(np.intp)
    return from_weights(POWERS.take(below, mode="clip"))


def from_weights(weights: np.ndarray) -> np.ndarray:
    """Frequencies less one, float32 (n, symbols), of int64 weights (n, symbols).

    No weight is negative, the sum of a row is 1 to 2**31, and there are fewer than 2**24 symbols.
    What rounding down leaves over, less than one for each symbol, goes to the last.
    """
    free = (1 << PRECISION) - weights.shape[1]
    reciprocal = (free << _RECIPROCAL) // weights.sum(axis=1, keepdims=True)
    shares = weights * reciprocal >> _RECIPROCAL
    shares[:, -1] += free - shares.sum(axis=1)
    return shares.astype(np.float32)
