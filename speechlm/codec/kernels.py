"""A frame of the spectral codec as compiled loops (extra ``live``: numba).

Sums are reordered for speed, as they are in any library: what depends on their last bits is settled
in double precision, see :mod:`speechlm.codec.exact`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlm.nn.kernels import Floats, Matrix, product, widen


@njit(cache=True, fastmath=True)
def linear(weight: Matrix, bias: Floats, x: Floats) -> Floats:
    """``weight @ x + bias``."""
    y = product(weight, x)
    y += bias
    return y


@njit(cache=True, fastmath=True)
def norm(x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
    """Layer normalisation of a vector."""
    size = len(x)
    mean = x.sum() / np.float32(size)
    square = np.float32(0)
    for i in range(size):
        square += (x[i] - mean) * (x[i] - mean)
    factor = np.float32(1 / np.sqrt(square / size + eps))
    return (x - mean) * factor * weight + bias


@njit(cache=True, fastmath=True)
def gelu(x: Floats) -> None:
    """``x * Phi(x)`` in place, by a rational approximation of erf that processors run in parallel.

    Eigen's ``erf``: odd polynomial over even polynomial on [-4, 4], off by 2e-7 at most.
    """
    for i in range(len(x)):
        t = min(max(x[i] * np.float32(0.70710678118), np.float32(-4)), np.float32(4))
        s = t * t
        p = np.float32(-2.72614225801306e-10)
        p = p * s + np.float32(2.77068142495902e-08)
        p = p * s + np.float32(-2.10102402082508e-06)
        p = p * s + np.float32(-5.69250639462346e-05)
        p = p * s + np.float32(-7.34990630326855e-04)
        p = p * s + np.float32(-2.95459980854025e-03)
        p = p * s + np.float32(-1.60960333262415e-02)
        q = np.float32(-1.45660718464996e-05)
        q = q * s + np.float32(-2.13374055278905e-04)
        q = q * s + np.float32(-1.68282697438203e-03)
        q = q * s + np.float32(-7.37332916720468e-03)
        q = q * s + np.float32(-1.42647390514189e-02)
        x[i] = np.float32(0.5) * x[i] * (np.float32(1) + t * p / q)


@njit(cache=True, fastmath=True)
def convnext(
    x: Floats,
    past: Floats,
    taps: Floats,
    bias: Floats,
    gamma: Floats,
    beta: Floats,
    eps: float,
    up: Matrix,
    up_bias: Floats,
    down: Matrix,
    down_bias: Floats,
    scale: Floats,
) -> tuple[Floats, Floats]:
    """A ConvNeXt block on one frame (channels,) with ``past`` (channels, kernel - 1) before it."""
    channels, kernel = taps.shape
    after = np.empty_like(past)
    y = np.empty(channels, np.float32)
    for c in range(channels):
        total = bias[c] + taps[c, kernel - 1] * x[c]
        for k in range(kernel - 1):
            total += taps[c, k] * past[c, k]
        y[c] = total
        for k in range(kernel - 2):
            after[c, k] = past[c, k + 1]
        after[c, kernel - 2] = x[c]
    hidden = linear(up, up_bias, norm(y, gamma, beta, eps))
    gelu(hidden)
    return x + linear(down, down_bias, hidden) * scale, after


@njit(cache=True, fastmath=True)
def convnexts(
    x: Floats,
    past: Floats,
    taps: Floats,
    bias: Floats,
    gamma: Floats,
    beta: Floats,
    eps: float,
    up: Matrix,
    up_bias: Floats,
    down: Matrix,
    down_bias: Floats,
    scale: Floats,
) -> tuple[Floats, Floats]:
    """Blocks in a row: :func:`convnext`, with everything but ``x`` and ``eps`` of each of them."""
    after = np.empty_like(past)
    for i in range(len(past)):
        x, after[i] = convnext(
            x, past[i], taps[i], bias[i], gamma[i], beta[i], eps,
            up[i], up_bias[i], down[i], down_bias[i], scale[i],
        )  # fmt: skip
    return x, after


@njit(cache=True, fastmath=True)
def search(
    row: Floats, entries: Matrix, offsets: Floats, drift: float, slack: Floats, codes: NDArray
) -> bool:
    """Greedy residual codes of ``row`` (d,) into ``codes`` (levels,); whether they are doubtful.

    ``entries`` (levels, cardinality, d), ``offsets`` (levels, cardinality). Entries whose scores
    come within ``slack`` (levels,), for rounding, are compared in double precision. Doubtful is
    what may change with the row off by ``drift``.
    """
    doubtful = False
    row = row.copy()
    for level in range(len(codes)):
        scores = linear(entries[level], offsets[level], row)
        best = np.argmax(scores)
        farthest = 2 * np.sqrt(np.max(-2 * offsets[level]))
        floor = scores[best] - slack[level] - drift * farthest
        for other in range(len(scores)):
            if scores[other] >= floor and other != best:
                lead, square = margin(entries[level, best], entries[level, other], row)
                if lead < drift * np.sqrt(square):
                    doubtful = True
        codes[level] = best
        for i in range(len(row)):
            row[i] -= widen(entries[level, best, i])
    return doubtful


@njit(cache=True, fastmath=True)
def margin(first: Matrix, second: Matrix, row: Floats) -> tuple[float, float]:
    """By how much ``first`` scores better than ``second``, and their squared distance."""
    lead, square = 0.0, 0.0
    for i in range(len(row)):
        one, other = np.float64(widen(first[i])), np.float64(widen(second[i]))
        gap = one - other
        lead += gap * (row[i] - 0.5 * (one + other))
        square += gap * gap
    return lead, square


@njit(cache=True)
def embed(entries: Matrix, codes: NDArray[np.int64]) -> Floats:
    """The sum (d,) of the entries of ``codes`` (levels,)."""
    total = np.zeros(entries.shape[2], np.float32)
    for level in range(len(codes)):
        for i in range(len(total)):
            total[i] += widen(entries[level, codes[level], i])
    return total
