"""Fourier transforms of real signals, callable from compiled code (extra ``live``: numba).

A real signal of 2n samples is a complex one of n, whose spectrum gives the other's. That comes by
the self-sorting transform of Stockham for any n (Van Loan 1992, "Computational Frameworks for the
Fast Fourier Transform", 1.7), radix 4 as far as n is divisible by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Reals = NDArray[Any]


def twiddles(n: int, dtype: type[np.floating[Any]]) -> Reals:
    """Cosines and sines (2, 2n) of the angles ``-pi k / n``: the roots of unity of order 2n."""
    angles = -np.pi * np.arange(2 * n) / n
    return np.stack([np.cos(angles), np.sin(angles)]).astype(dtype)


@njit(cache=True, fastmath=True)
def rfft(signal: Reals, twiddles: Reals) -> tuple[Reals, Reals]:
    """Real and imaginary parts (n + 1,) of the spectrum of ``signal`` (2n,), not scaled."""
    n = len(signal) // 2
    x, y = signal[::2].copy(), signal[1::2].copy()
    x, y = stockham(x, y, twiddles)
    c, s = twiddles
    real, imag = np.empty(n + 1, signal.dtype), np.empty(n + 1, signal.dtype)
    real[0], imag[0] = x[0] + y[0], 0
    real[n], imag[n] = x[0] - y[0], 0
    half = signal.dtype.type(0.5)
    for i in range(1, n):
        # Spectra of the even samples, and of the odd ones.
        even_real, even_imag = x[i] + x[n - i], y[i] - y[n - i]
        odd_real, odd_imag = y[i] + y[n - i], x[n - i] - x[i]
        real[i] = half * (even_real + c[i] * odd_real - s[i] * odd_imag)
        imag[i] = half * (even_imag + c[i] * odd_imag + s[i] * odd_real)
    return real, imag


@njit(cache=True, fastmath=True)
def irfft(real: Reals, imag: Reals, twiddles: Reals) -> Reals:
    """The signal (2n,) of a spectrum (n + 1,): the inverse of :func:`rfft`.

    The imaginary parts of its first and last bin count as zero.
    """
    n = len(real) - 1
    c, s = twiddles
    x, y = np.empty(n, real.dtype), np.empty(n, real.dtype)
    x[0], y[0] = real[0] + real[n], real[n] - real[0]
    for i in range(1, n):
        even_real, even_imag = real[i] + real[n - i], imag[i] - imag[n - i]
        odd_real, odd_imag = real[i] - real[n - i], imag[i] + imag[n - i]
        # Conjugated, so that the transform is the inverse one, conjugated.
        x[i] = even_real - c[i] * odd_imag + s[i] * odd_real
        y[i] = -even_imag - c[i] * odd_real - s[i] * odd_imag
    x, y = stockham(x, y, twiddles)
    signal = np.empty(2 * n, real.dtype)
    scale = real.dtype.type(0.5 / n)
    for i in range(n):
        signal[2 * i], signal[2 * i + 1] = x[i] * scale, -y[i] * scale
    return signal


@njit(cache=True, fastmath=True)
def stockham(real: Reals, imag: Reals, twiddles: Reals) -> tuple[Reals, Reals]:
    """Real and imaginary parts (n,) of the spectrum of a complex signal, which is overwritten."""
    n = len(real)
    x, y = np.empty_like(real), np.empty_like(imag)
    stride, left = 1, n
    while left > 1:
        radix = 4 if left % 4 == 0 else 2
        while left % radix:
            radix += 1
        left //= radix
        if radix == 4:
            radix4(real, imag, x, y, stride, left, twiddles)
        else:
            radix_n(real, imag, x, y, stride, left, radix, twiddles)
        stride *= radix
        real, imag, x, y = x, y, real, imag
    return real, imag


@njit(cache=True, fastmath=True)
def radix4(
    real: Reals, imag: Reals, x: Reals, y: Reals, stride: int, left: int, twiddles: Reals
) -> None:
    """A stage of radix 4, from ``real`` and ``imag`` to ``x`` and ``y``."""
    step = stride * left
    for j in range(left):
        c1, s1 = twiddles[0, 2 * j * stride], twiddles[1, 2 * j * stride]
        c2, s2 = twiddles[0, 4 * j * stride], twiddles[1, 4 * j * stride]
        c3, s3 = twiddles[0, 6 * j * stride], twiddles[1, 6 * j * stride]
        for k in range(j * stride, (j + 1) * stride):
            to = k + 3 * j * stride
            plus_x, minus_x = real[k] + real[k + 2 * step], real[k] - real[k + 2 * step]
            plus_y, minus_y = imag[k] + imag[k + 2 * step], imag[k] - imag[k + 2 * step]
            second, fourth = k + step, k + 3 * step
            sum_x, turned_y = real[second] + real[fourth], real[second] - real[fourth]
            sum_y, turned_x = imag[second] + imag[fourth], imag[fourth] - imag[second]
            x[to], y[to] = plus_x + sum_x, plus_y + sum_y
            one, two = minus_x - turned_x, minus_y - turned_y
            x[to + stride], y[to + stride] = c1 * one - s1 * two, c1 * two + s1 * one
            one, two = plus_x - sum_x, plus_y - sum_y
            x[to + 2 * stride], y[to + 2 * stride] = c2 * one - s2 * two, c2 * two + s2 * one
            one, two = minus_x + turned_x, minus_y + turned_y
            x[to + 3 * stride], y[to + 3 * stride] = c3 * one - s3 * two, c3 * two + s3 * one


@njit(cache=True, fastmath=True)
def radix_n(
    real: Reals,
    imag: Reals,
    x: Reals,
    y: Reals,
    stride: int,
    left: int,
    radix: int,
    twiddles: Reals,
) -> None:
    """A stage of any radix, from ``real`` and ``imag`` to ``x`` and ``y``."""
    n = len(real)
    for j in range(left):
        for q in range(radix):
            to = stride * (radix * j + q)
            x[to : to + stride] = 0
            y[to : to + stride] = 0
            for r in range(radix):
                at = stride * (j + left * r)
                turn = 2 * ((left * r + j) * q * stride % n)
                c, s = twiddles[0, turn], twiddles[1, turn]
                for k in range(stride):
                    x[to + k] += c * real[at + k] - s * imag[at + k]
                    y[to + k] += c * imag[at + k] + s * real[at + k]
