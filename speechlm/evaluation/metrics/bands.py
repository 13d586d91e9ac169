"""Frequency bands that the diagnostics share, and waves limited to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import ifft, next_fast_len, rfft, rfftfreq

from speechlm.evaluation.metrics.base import Unscored
from speechlm.types import Wave

Band = tuple[float, float]
Spectrum = NDArray[np.complexfloating[Any, Any]]

BANDS: tuple[Band, ...] = ((0, 1000), (1000, 2000), (2000, 4000), (4000, 8000))
"""In Hz: first harmonics, the first formants' upper half, further formants, fricatives."""


def label(band: Band) -> str:
    """``0_1`` for 0 to 1 kHz: the end of a metric's name."""
    return "_".join(f"{edge / 1000:g}" for edge in band)


def kilohertz(band: Band) -> str:
    """``0-1 kHz``, for titles."""
    return f"{band[0] / 1000:g}-{band[1] / 1000:g} kHz"


def band_spectrum(wave: Wave, rate: int, band: Band) -> Spectrum:
    """The bins (bins,) in ``band`` of the spectrum of a whole wave (samples,), without 0 Hz.

    Raises:
        Unscored: when the band is not below half the sampling rate.
    """
    spectrum, inside = _spectrum(wave, rate, band)
    return spectrum[inside]


def analytic_band(wave: Wave, rate: int, band: Band, oversampling: int = 1) -> Spectrum:
    """The analytic signal of ``wave`` (samples,) in ``band`` (samples x ``oversampling``,).

    Its real part is the band of the wave, its magnitude the band's envelope.

    Raises:
        Unscored: when the band is not below half the sampling rate.
    """
    spectrum, inside = _spectrum(wave, rate, band)
    samples = next_fast_len(len(wave), real=True) * oversampling
    band_limited = ifft(np.where(inside, spectrum, 0), samples) * (2 * oversampling)
    return np.asarray(band_limited[: len(wave) * oversampling])


def _spectrum(wave: Wave, rate: int, band: Band) -> tuple[Spectrum, NDArray[np.bool_]]:
    """The spectrum of ``wave``, with zeros at its end, and which of its bins are in ``band``."""
    low, high = band
    if high > rate / 2:
        raise Unscored(f"{kilohertz(band)} is not below half of {rate} Hz")
    samples = next_fast_len(len(wave), real=True)
    frequencies = rfftfreq(samples, 1 / rate)
    inside = (frequencies >= low) & (frequencies < high) & (frequencies > 0)
    return np.asarray(rfft(np.asarray(wave, np.float64), samples)), inside
