"""A frame of the spectral codec as compiled loops (extra ``live``: numba).

Sums are reordered for speed, as they are in any library: what depends on their last bits is settled
in double precision, see :mod:`speechlm.codec.exact`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlm.nn.kernels import Floats, Matrix, product, widen


class Linear(NamedTuple):
    """Weights (layers, out, in) and biases (layers, out)."""

    weight: Matrix
    bias: Floats


class Norm(NamedTuple):
    """Weights and biases (layers, size)."""

    weight: Floats
    bias: Floats
    eps: float


class Blocks(NamedTuple):
    """ConvNeXt blocks, stacked."""

    taps: Floats
    bias: Floats
    norm: Norm
    up: Linear
    down: Linear
    scale: Floats


class Stack(NamedTuple):
    """What encoder and decoder have in common."""

    first: Linear
    before: Norm
    blocks: Blocks
    after: Norm
    last: Linear


class Codebook(NamedTuple):
    """``entries`` (levels, cardinality, d) with ``offsets`` (levels, cardinality) of their scores.

    A difference of two scores is off by ``slope`` times the length of the row plus ``least``, both
    (levels,). ``farthest`` (levels,) is the most that two entries can be apart.
    """

    entries: Matrix
    offsets: Floats
    slope: Floats
    least: Floats
    farthest: Floats


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
def convolve(x: Floats, past: Floats, taps: Floats, bias: Floats, after: Floats) -> Floats:
    """A frame (channels,) of a depthwise convolution, with ``past`` (channels, kernel - 1) before
    it, which goes on to ``after``."""
    channels, kernel = taps.shape
    y = np.empty(channels, np.float32)
    for c in range(channels):
        total = bias[c] + taps[c, kernel - 1] * x[c]
        for k in range(kernel - 1):
            total += taps[c, k] * past[c, k]
        y[c] = total
        for k in range(kernel - 2):
            after[c, k] = past[c, k + 1]
        after[c, kernel - 2] = x[c]
    return y


@njit(cache=True, fastmath=True)
def run(x: Floats, past: Floats, stack: Stack) -> tuple[Floats, Floats]:
    """A frame through a stack, with ``past`` (blocks, channels, kernel - 1) before it."""
    first, before, blocks, behind, last = stack
    x = linear(first.weight[0], first.bias[0], x)
    x = norm(x, before.weight[0], before.bias[0], before.eps)
    after = np.empty_like(past)
    taps, bias, inner, up, down, scale = blocks
    for i in range(len(past)):
        y = convolve(x, past[i], taps[i], bias[i], after[i])
        y = norm(y, inner.weight[i], inner.bias[i], inner.eps)
        hidden = linear(up.weight[i], up.bias[i], y)
        gelu(hidden)
        x = x + linear(down.weight[i], down.bias[i], hidden) * scale[i]
    x = norm(x, behind.weight[0], behind.bias[0], behind.eps)
    return linear(last.weight[0], last.bias[0], x), after


@njit(cache=True, fastmath=True)
def encode(
    spectrum: NDArray[np.complex128],
    slope: float,
    past: Floats,
    stack: Stack,
    final: Norm,
    codebook: Codebook,
    drift: float,
    codes: NDArray[np.int64],
) -> tuple[bool, Floats]:
    """Into ``codes`` (levels,) those of a frame; whether they are doubtful, and the new ``past``.

    Magnitudes are raised to the power ``2 * slope + 1``.
    """
    bins = len(spectrum)
    parts = np.empty(2 * bins, np.float32)
    for i in range(bins):
        real, imag = spectrum[i].real, spectrum[i].imag
        factor = np.exp(np.log(max(real * real + imag * imag, 1e-10)) * slope)
        parts[i], parts[bins + i] = real * factor, imag * factor
    y, after = run(parts, past, stack)
    row = norm(y, final.weight[0], final.bias[0], final.eps)
    return search(row, codebook, drift, codes), after


@njit(cache=True, fastmath=True)
def decode(
    codes: NDArray[np.int64],
    vectors: Matrix,
    past: Floats,
    stack: Stack,
    slope: np.float32,
    polar: bool,
) -> tuple[bool, NDArray[np.complex64], Floats]:
    """The spectrum of the frame of ``codes`` (levels,), and the new ``past``.

    Before them, whether all ``codes`` are there in ``vectors``; if not, they are noise.
    """
    for code in codes:
        if not 0 <= code < vectors.shape[1]:
            return False, np.empty(0, np.complex64), past
    parts, after = run(embed(vectors, codes), past, stack)
    bins = len(parts) // 2
    spectrum = np.empty(bins, np.complex64)
    for i in range(bins):
        one, two = parts[i], parts[bins + i]
        if polar:
            magnitude = np.exp(min(one, np.float32(5)))
            spectrum[i] = complex(magnitude * np.cos(two), magnitude * np.sin(two))
        else:
            factor = np.exp(np.log(max(one * one + two * two, np.float32(1e-10))) * slope)
            spectrum[i] = complex(one * factor, two * factor)
    return True, spectrum, after


@njit(cache=True, fastmath=True)
def search(row: Floats, codebook: Codebook, drift: float, codes: NDArray[np.int64]) -> bool:
    """Greedy residual codes of ``row`` (d,) into ``codes`` (levels,); whether they are doubtful.

    Entries whose scores rounding may have swapped with the best are compared in double precision.
    Doubtful is what may change with the row off by ``drift``.
    """
    entries, offsets, slope, least, farthest = codebook
    row = row.copy()
    doubtful = False
    for level in range(len(codes)):
        table = entries[level]
        best, highest, second = 0, np.float32(-3e38), np.float32(-3e38)
        scores = linear(table, offsets[level], row)
        for i in range(len(scores)):
            if scores[i] > highest:
                best, highest, second = i, scores[i], highest
            elif scores[i] > second:
                second = scores[i]
        length = np.sqrt(np.sum(row * row))
        floor = highest - slope[level] * length - least[level] - drift * farthest[level]
        if second >= floor:
            for other in range(len(scores)):
                if scores[other] >= floor and other != best:
                    lead, square = margin(table[best], table[other], row)
                    if lead < drift * np.sqrt(square):
                        doubtful = True
        codes[level] = best
        for i in range(len(row)):
            row[i] -= widen(table[best, i])
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
