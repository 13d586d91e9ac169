"""Frequency bands that the diagnostics share, and waves limited to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlm.evaluation.metrics.base import Unscored, Wave

Band = tuple[float, float]

BANDS: tuple[Band, ...] = ((0, 1000), (1000, 2000), (2000, 4000), (4000, 8000))
"""In Hz: first harmonics, the first formants' upper half, further formants, fricatives."""


def label(band: Band) -> str:
    """``0_1`` for 0 to 1 kHz: the end of a metric's name."""
    return "_".join(f"{edge / 1000:g}" for edge in band)


def kilohertz(band: Band) -> str:
    """``0-1 kHz``, for titles."""
    return f"{band[0] / 1000:g}-{band[1] / 1000:g} kHz"


def band_spectrum(wave: Wave, rate: int, band: Band) -> NDArray[np.complexfloating[Any, Any]]:
    """The bins (bins,) of the whole wave's spectrum in ``band``, without 0 Hz.

    Raises:
        Unscored: when the band is not below half the sampling rate.
    """
    low, high = band
    if high > rate / 2:
        raise Unscored(f"{kilohertz(band)} is not below half of {rate} Hz")
    spectrum = np.fft.rfft(np.asarray(wave, np.float64))
    frequencies = np.fft.rfftfreq(len(wave), 1 / rate)
    return spectrum[(frequencies >= low) & (frequencies < high) & (frequencies > 0)]
