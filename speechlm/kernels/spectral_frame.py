"""A frame of the spectral codec as compiled loops (extra ``live``: numba).

Weights are in two buffers, in the order of use: ``matrices``, in half precision where that is
lossless, and ``scalars`` (biases, norms, filters). Every reader returns the unread remainder of the
buffers.

Sums are reordered for speed: codes that depend on their last bits are recomputed in double
precision (:mod:`speechlm.codec.reproducible`).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlm.kernels.fft import irfft, rfft
from speechlm.kernels.matvec import Matrix, matvec, widen
from speechlm.types import Float32s

Matrix1d = NDArray[np.float32] | NDArray[np.uint16]
Doubles = NDArray[np.float64]


@njit(cache=True, fastmath=True)
def linear(
    x: Float32s, rows: int, matrices: Matrix1d, scalars: Float32s
) -> tuple[Float32s, Matrix1d, Float32s]:
    """``weight @ x + bias`` with weights (rows, len(x)) and biases (rows,)."""
    size = rows * len(x)
    y = matvec(matrices[:size].reshape(rows, len(x)), x)
    for i in range(rows):
        y[i] += scalars[i]
    return y, matrices[size:], scalars[rows:]


@njit(cache=True, fastmath=True)
def layer_norm(x: Float32s, scalars: Float32s) -> tuple[Float32s, Float32s]:
    """Layer normalisation of a vector, with the epsilon, weights and biases."""
    size = len(x)
    mean = x.sum() / np.float32(size)
    square = np.float32(0)
    for i in range(size):
        square += (x[i] - mean) * (x[i] - mean)
    factor = np.float32(1 / np.sqrt(square / size + scalars[0]))
    y = np.empty(size, np.float32)
    for i in range(size):
        y[i] = (x[i] - mean) * factor * scalars[1 + i] + scalars[1 + size + i]
    return y, scalars[1 + 2 * size :]


@njit(cache=True, fastmath=True)
def gelu(x: Float32s) -> None:
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
def convolve(
    x: Float32s, past: Float32s, after: Float32s, scalars: Float32s
) -> tuple[Float32s, Float32s]:
    """A frame (channels,) of a depthwise convolution, with ``past`` (channels, kernel - 1) before
    it, which goes on to ``after``; with taps (channels, kernel) and biases (channels,)."""
    channels, kernel = past.shape[0], past.shape[1] + 1
    taps = scalars[: channels * kernel].reshape(channels, kernel)
    scalars = scalars[channels * kernel :]
    y = np.empty(channels, np.float32)
    for c in range(channels):
        total = scalars[c] + taps[c, kernel - 1] * x[c]
        for k in range(kernel - 1):
            total += taps[c, k] * past[c, k]
        y[c] = total
        for k in range(kernel - 2):
            after[c, k] = past[c, k + 1]
        after[c, kernel - 2] = x[c]
    return y, scalars[channels:]


@njit(cache=True, fastmath=True)
def convnext_stack(
    x: Float32s, past: Float32s, hidden: int, size: int, matrices: Matrix1d, scalars: Float32s
) -> tuple[Float32s, Float32s, Matrix1d, Float32s]:
    """A frame through a stack, with ``past`` (blocks, channels, kernel - 1) before it.

    Returns:
        The frame (size,), the new ``past``, and the unread remainder of the buffers.
    """
    blocks, channels = past.shape[0], past.shape[1]
    after = np.empty_like(past)
    x, matrices, scalars = linear(x, channels, matrices, scalars)
    x, scalars = layer_norm(x, scalars)
    for i in range(blocks):
        y, scalars = convolve(x, past[i], after[i], scalars)
        y, scalars = layer_norm(y, scalars)
        y, matrices, scalars = linear(y, hidden, matrices, scalars)
        gelu(y)
        y, matrices, scalars = linear(y, channels, matrices, scalars)
        for c in range(channels):
            x[c] += y[c] * scalars[c]
        scalars = scalars[channels:]
    x, scalars = layer_norm(x, scalars)
    y, matrices, scalars = linear(x, size, matrices, scalars)
    return y, after, matrices, scalars


@njit(cache=True, fastmath=True)
def encode_frame(
    wave: Float32s,
    recent: Doubles,
    past: Float32s,
    reach: int,
    window: Doubles,
    twiddles: Doubles,
    slope: float,
    sizes: tuple[int, int, int, int],
    matrices: Matrix1d,
    scalars: Float32s,
    latent_error: float,
) -> tuple[NDArray[np.int64], bool, Doubles, Float32s]:
    """Codes (codebooks,) of samples (1, hop_length), and whether they are doubtful.

    Args:
        recent: samples before it, none at the start of a stream; all that count are kept.
        past: what the blocks remember.
        reach: samples before it that count.
        roots: of the spectrum, see :mod:`speechlm.kernels.fft`.
        slope: magnitudes are raised to the power ``2 * slope + 1``.
        sizes: hidden channels of a block, the latent, levels asked for, codes of a level.

    Returns:
        The codes, whether they are doubtful, and the new ``recent`` and ``past``.
    """
    hidden, latent, num_codebooks, codebook_size = sizes
    hop_length = wave.shape[1]
    kept = recent[max(len(recent) - reach, 0) :]
    samples = np.empty(len(kept) + hop_length)
    samples[: len(kept)] = kept
    for i in range(hop_length):
        samples[len(kept) + i] = wave[0, i]
    frame = np.zeros(2 * hop_length)
    first = max(2 * hop_length - len(samples), 0)
    for i in range(first, 2 * hop_length):
        frame[i] = samples[len(samples) - 2 * hop_length + i] * window[i]
    real, imag = rfft(frame, twiddles)
    bins = hop_length + 1
    parts = np.empty(2 * bins, np.float32)
    for i in range(bins):
        power = max(real[i] * real[i] + imag[i] * imag[i], 1e-10)
        factor = np.exp(np.log(power) * slope)
        parts[i], parts[bins + i] = real[i] * factor, imag[i] * factor
    y, after, matrices, scalars = convnext_stack(parts, past, hidden, latent, matrices, scalars)
    row, scalars = layer_norm(y, scalars)
    codes = np.empty(num_codebooks, np.int64)
    near_tie = residual_search(row, codebook_size, matrices, scalars, latent_error, codes)
    return codes, near_tie, samples, after


@njit(cache=True, fastmath=True)
def decode_frame(
    codes: NDArray[np.int64],
    past: Float32s,
    overlap: Float32s,
    vectors: Matrix,
    window: Float32s,
    twiddles: Float32s,
    slope: np.float32,
    polar: bool,
    hidden: int,
    matrices: Matrix1d,
    scalars: Float32s,
) -> tuple[bool, Float32s, Float32s, Float32s]:
    """Samples (1, hop_length) of the frame of ``codes`` (1, codebooks, 1).

    Args:
        past: what the blocks remember.
        overlap: what the frame before has for the first of these samples.
        vectors: entries (codebooks, codebook_size, latent) whose sum is decoded.
        roots: of the spectrum, see :mod:`speechlm.kernels.fft`.
        slope: magnitudes are raised to the power ``2 * slope + 1``.
        hidden: channels of a block.

    Returns:
        Whether all ``codes`` are there in ``vectors`` (if not, the rest is noise), the samples, and
        the new ``past`` and ``overlap``.
    """
    hop_length = len(window) - len(overlap)
    wave = np.empty((1, hop_length), np.float32)
    for code in codes.flat:
        if not 0 <= code < vectors.shape[1]:
            return False, wave, past, overlap
    bins = len(window) // 2 + 1
    latent = sum_entries(vectors, codes[0, :, 0])
    parts, after, _, _ = convnext_stack(latent, past, hidden, 2 * bins, matrices, scalars)
    for i in range(bins):
        one, two = parts[i], parts[bins + i]
        if polar:
            magnitude = np.exp(min(one, np.float32(5)))
            parts[i], parts[bins + i] = magnitude * np.cos(two), magnitude * np.sin(two)
        else:
            factor = np.exp(np.log(max(one * one + two * two, np.float32(1e-10))) * slope)
            parts[i], parts[bins + i] = one * factor, two * factor
    frame = irfft(parts[:bins], parts[bins:], twiddles)
    rest = np.empty(len(overlap), np.float32)
    for i in range(hop_length):
        wave[0, i] = frame[i] * window[i]
    for i in range(len(overlap)):
        wave[0, i] += overlap[i]
        rest[i] = frame[hop_length + i] * window[hop_length + i]
    return True, wave, after, rest


@njit(cache=True, fastmath=True)
def residual_search(
    row: Float32s,
    codebook_size: int,
    matrices: Matrix1d,
    scalars: Float32s,
    latent_error: float,
    codes: NDArray[np.int64],
) -> bool:
    """Greedy residual codes of ``row`` (d,) into ``codes`` (codebooks,); whether they are doubtful.

    A level has entries (codebook_size, d), and as numbers: ``slope`` and ``least`` (the difference
    of two scores is off by ``slope`` times the length of the row plus ``least``), ``farthest`` (the
    most that two entries can be apart), and what is added to each score. Entries whose scores
    rounding may have swapped with the best are compared in double precision. Doubtful is what may
    change with the row off by ``latent_error``.
    """
    row = row.copy()
    near_tie = False
    for level in range(len(codes)):
        slope, least, farthest = scalars[0], scalars[1], scalars[2]
        table = matrices[: codebook_size * len(row)].reshape(codebook_size, len(row))
        scores, matrices, scalars = linear(row, codebook_size, matrices, scalars[3:])
        best, highest, second = 0, np.float32(-3e38), np.float32(-3e38)
        for i in range(len(scores)):
            if scores[i] > highest:
                best, highest, second = i, scores[i], highest
            elif scores[i] > second:
                second = scores[i]
        length = np.sqrt(np.sum(row * row))
        floor = highest - slope * length - least - latent_error * farthest
        if second >= floor:
            for other in range(len(scores)):
                if scores[other] >= floor and other != best:
                    lead, square = score_margin(table[best], table[other], row)
                    if lead < latent_error * np.sqrt(square):
                        near_tie = True
        codes[level] = best
        for i in range(len(row)):
            row[i] -= widen(table[best, i])
    return near_tie


@njit(cache=True, fastmath=True)
def score_margin(first: Matrix, second: Matrix, row: Float32s) -> tuple[float, float]:
    """By how much ``first`` scores better than ``second``, and their squared distance."""
    lead, square = 0.0, 0.0
    for i in range(len(row)):
        one, other = np.float64(widen(first[i])), np.float64(widen(second[i]))
        gap = one - other
        lead += gap * (row[i] - 0.5 * (one + other))
        square += gap * gap
    return lead, square


@njit(cache=True)
def sum_entries(entries: Matrix, codes: NDArray[np.int64]) -> Float32s:
    """The sum (d,) of the entries of ``codes`` (codebooks,)."""
    total = np.zeros(entries.shape[2], np.float32)
    for level in range(len(codes)):
        for i in range(len(total)):
            total[i] += widen(entries[level, codes[level], i])
    return total
