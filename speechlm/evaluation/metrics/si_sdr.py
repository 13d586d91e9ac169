"""SI-SDR: the waveform error, free of gain."""

from __future__ import annotations

import numpy as np

from speechlm.evaluation.metrics.base import Metric, Unscored
from speechlm.types import Wave


def _si_sdr(reference: Wave, estimate: Wave, rate: int) -> float:
    target = reference.astype(np.float64) - reference.mean(dtype=np.float64)
    signal = estimate.astype(np.float64) - estimate.mean(dtype=np.float64)
    energy = target @ target
    if not energy or not signal.any():
        raise Unscored("a constant signal has no SI-SDR")
    target *= (signal @ target) / energy
    error = signal - target
    if error @ error <= 1e-20 * (signal @ signal):
        raise Unscored("no error left: SI-SDR is unbounded")
    if not target.any():
        raise Unscored("nothing of the reference in the estimate: SI-SDR is unbounded")
    return float(10 * np.log10((target @ target) / (error @ error)))


SI_SDR = Metric(
    name="si_sdr",
    title="SI-SDR",
    unit="dB",
    better="higher",
    about="scale-invariant signal-to-distortion ratio, Le Roux et al. 2019, means removed",
    compute=_si_sdr,
    digits=1,
)
