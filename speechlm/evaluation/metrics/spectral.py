"""Distances between spectra: multi-resolution log-mel, and log-spectral."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlm.audio.spectrogram import power_spectrum
from speechlm.evaluation.metrics.base import Metric
from speechlm.types import Wave

Spectrum = NDArray[np.floating[Any]]

# Nothing 80 dB below the reference's loudest bin is audible beside it; without a floor, digital
# silence would decide the mean.
FLOOR_DB = -80.0
MEL_RESOLUTIONS = ((0.016, 40), (0.032, 64), (0.064, 80))  # (window in seconds, bands)
LSD_WINDOW = 0.032


@cache
def mel_filters(rate: int, window: int, bands: int) -> Spectrum:
    """Triangles of equal area on the mel scale (HTK): (window // 2 + 1, bands), 0 Hz to rate / 2.

    A band narrower than a bin's spacing takes its share of the bins beside its centre, so that no
    band is empty at a short window.
    """
    spacing = rate / window
    frequencies = np.arange(window // 2 + 1) * spacing
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    centre = edges[1:-1]
    below = np.maximum(centre - edges[:-2], spacing)
    above = np.maximum(edges[2:] - centre, spacing)
    offset = frequencies[:, None] - centre
    triangles = np.clip(1 - np.where(offset < 0, -offset / below, offset / above), 0, None)
    return triangles / triangles.sum(axis=0)


def decibels(reference: Spectrum, estimate: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Both powers in dB, floored ``FLOOR_DB`` below the reference's largest value."""
    floor = reference.max() * 10 ** (FLOOR_DB / 10)
    first, second = (10 * np.log10(np.maximum(power, floor)) for power in (reference, estimate))
    return first, second


def _mel_distance(reference: Wave, estimate: Wave, rate: int) -> float:
    distances = []
    for seconds, bands in MEL_RESOLUTIONS:
        window = 2 * round(seconds * rate / 2)
        filters = mel_filters(rate, window, bands)
        pair = (
            power_spectrum(wave, window, window // 4) @ filters for wave in (reference, estimate)
        )
        first, second = decibels(*pair)
        distances.append(np.abs(first - second).mean())
    return float(np.mean(distances))


def _log_spectral_distance(reference: Wave, estimate: Wave, rate: int) -> float:
    window = 2 * round(LSD_WINDOW * rate / 2)
    pair = (power_spectrum(wave, window, window // 4) for wave in (reference, estimate))
    first, second = decibels(*pair)
    return float(np.sqrt(np.square(first - second).mean(axis=1)).mean())


MEL = Metric(
    name="mel",
    title="Mel distance",
    unit="dB",
    better="lower",
    about="mean |log-mel difference| over windows of 16, 32 and 64 ms (40, 64, 80 bands), "
    "floor 80 dB below the reference's peak",
    compute=_mel_distance,
)

LSD = Metric(
    name="lsd",
    title="LSD",
    unit="dB",
    better="lower",
    about="log-spectral distance: RMS over frequency, mean over 32 ms frames, "
    "floor 80 dB below the reference's peak",
    compute=_log_spectral_distance,
)
