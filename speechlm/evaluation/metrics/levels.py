"""Level by band, in speech and in pauses, beside the original's speech."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from speechlm.audio.spectrogram import power_spectrum
from speechlm.evaluation.metrics.bands import BANDS, Band, kilohertz, label
from speechlm.evaluation.metrics.base import Metric, Unscored
from speechlm.types import Wave

WINDOW = 0.032  # seconds, Hann, half overlapped
SPEECH_DB = -25.0  # beside the loudest tenth of the frames
PAUSE_DB = -30.0  # the same, and of the frame before and after too
ENOUGH = 3  # frames


def _speech_and_pauses(power: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which frames of ``power`` (frames, bins) are speech, and which pauses; some are neither."""
    frames = power.sum(axis=1)
    loud = np.sort(frames)[-max(1, len(frames) // 10) :].mean()
    quiet = frames <= loud * 10 ** (PAUSE_DB / 10)
    return frames >= loud * 10 ** (SPEECH_DB / 10), binary_erosion(quiet, np.ones(3))


def _level(reference: Wave, estimate: Wave, rate: int, band: Band, pauses: bool) -> float:
    low, high = band
    if high > rate / 2:
        raise Unscored(f"{kilohertz(band)} is not below half of {rate} Hz")
    window = 2 * round(WINDOW * rate / 2)
    first, second = (power_spectrum(wave, window, window // 2) for wave in (reference, estimate))
    speech, quiet = _speech_and_pauses(first)
    judged = quiet if pauses else speech
    if judged.sum() < ENOUGH:
        raise Unscored("no pause of the reference is long enough")
    frequencies = np.arange(window // 2 + 1) * rate / window
    bins = (frequencies >= max(low, rate / window)) & (frequencies < high)
    scale, value = first[speech][:, bins].mean(), second[judged][:, bins].mean()
    if not scale or not value:
        raise Unscored(f"nothing in {kilohertz(band)}")
    return float(10 * np.log10(value / scale))


def _metric(band: Band, pauses: bool) -> Metric:
    name, title, where = ("pauses", "Pauses", "pauses") if pauses else ("level", "Level", "speech")
    return Metric(
        name=f"{name}_{label(band)}",
        title=f"{title} {kilohertz(band)}",
        unit="dB",
        better=None,
        about=f"the band's level in {where} of the original, beside the original's in speech: "
        f"frames of 32 ms at most {-SPEECH_DB:g} dB below the loudest tenth are speech, those "
        f"more than {-PAUSE_DB:g} dB below it, with both neighbours, pauses; the original's own "
        "value is the one to reach",
        compute=partial(_level, band=band, pauses=pauses),
        digits=1,
    )


LEVEL = tuple(_metric(band, False) for band in BANDS)
PAUSES = tuple(_metric(band, True) for band in BANDS)
