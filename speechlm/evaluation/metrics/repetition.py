"""Does the output repeat itself: autocorrelation at the synthesis window, where speech has none."""

from __future__ import annotations

from functools import partial

import numpy as np

from speechlm.evaluation.metrics.bands import Band, analytic_band, kilohertz
from speechlm.evaluation.metrics.base import Metric, Unscored
from speechlm.types import Wave

WINDOW_MS = 40.0  # the synthesis window of this project's codecs
BAND: Band = (3500, 8000)  # above it voices are noisy, and do not repeat themselves for so long


def _repetition(reference: Wave, estimate: Wave, rate: int, lag_ms: float) -> float:
    lag = round(lag_ms * rate / 1000)
    if len(estimate) < 2 * lag:
        raise Unscored(f"less than {2 * lag_ms:g} ms")
    wave = analytic_band(estimate, rate, BAND).real
    first, second = wave[:-lag], wave[lag:]
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    if not scale:
        raise Unscored(f"nothing in {kilohertz(BAND)}")
    return float(first @ second / scale)


def repetition(lag_ms: float) -> Metric:
    """The metric of a repetition after ``lag_ms`` milliseconds; of another than ``WINDOW_MS``, its
    name ends with it: ``repetition@80``."""
    return Metric(
        name="repetition" if lag_ms == WINDOW_MS else f"repetition@{lag_ms:g}",
        title=f"Repetition {lag_ms:g} ms",
        better="lower",
        about=f"normalised autocorrelation of the output in {kilohertz(BAND)} at a lag of "
        f"{lag_ms:g} ms, a codec's synthesis window: about 0 for speech, 1 for one pattern "
        "written over and over",
        compute=partial(_repetition, lag_ms=lag_ms),
    )


REPETITION = repetition(WINDOW_MS)
