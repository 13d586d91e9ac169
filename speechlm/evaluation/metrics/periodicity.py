"""Are there still harmonics: periodicity at the original's pitch, by band."""

from __future__ import annotations

from functools import partial

import numpy as np

from speechlm.evaluation.metrics.bands import BANDS, Band, analytic_band, kilohertz, label
from speechlm.evaluation.metrics.base import Metric, Unscored
from speechlm.evaluation.metrics.pitch import ENOUGH, STEP, pitch_track
from speechlm.types import Wave

WINDOW = 0.02  # seconds: two periods of 100 Hz, and too short for the pitch to move much
# A lag in whole samples would be off by up to a radian at 5 kHz.
OVERSAMPLING = 8


def _periodicity(reference: Wave, estimate: Wave, rate: int, band: Band) -> float:
    track = pitch_track(reference, rate)
    # Praat centres its frames in the recording.
    centres = len(reference) / 2 + rate * STEP * (np.arange(len(track)) - (len(track) - 1) / 2)
    voiced = track > 0
    lags = np.round(OVERSAMPLING * rate / track[voiced]).astype(int)
    width = OVERSAMPLING * round(WINDOW * rate)
    starts = np.round(OVERSAMPLING * centres[voiced]).astype(int) - (width + lags) // 2
    wave = analytic_band(estimate, rate, band, OVERSAMPLING).real
    fits = (starts >= 0) & (starts + lags + width <= len(wave))
    if fits.sum() < ENOUGH:
        raise Unscored(f"less than {ENOUGH * STEP:g} s of the reference are voiced")
    values = []
    for start, lag in zip(starts[fits], lags[fits], strict=True):
        first = wave[start : start + width : OVERSAMPLING]
        second = wave[start + lag : start + lag + width : OVERSAMPLING]
        scale = np.linalg.norm(first) * np.linalg.norm(second)
        values.append(float(first @ second / scale) if scale else 0.0)
    return float(np.mean(values))


def _metric(band: Band) -> Metric:
    return Metric(
        name=f"periodicity_{label(band)}",
        title=f"Periodicity {kilohertz(band)}",
        better=None,
        about="normalised autocorrelation of the output's band at the original's pitch period "
        "(Praat's tracker, Boersma 1993), 20 ms, mean over the original's voiced frames; the "
        "original's own value is the one to reach",
        compute=partial(_periodicity, band=band),
        packages=("praat-parselmouth",),
    )


PERIODICITY = tuple(map(_metric, BANDS))
