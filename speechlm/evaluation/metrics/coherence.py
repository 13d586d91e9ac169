"""Does the output follow the original's waveform: coherence by band."""

from __future__ import annotations

from functools import partial

import numpy as np

from speechlm.evaluation.metrics.bands import BANDS, Band, band_spectrum, kilohertz, label
from speechlm.evaluation.metrics.base import Metric, Unscored
from speechlm.types import Wave


def _coherence(reference: Wave, estimate: Wave, rate: int, band: Band) -> float:
    first, second = (band_spectrum(wave, rate, band) for wave in (reference, estimate))
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    if not scale:
        raise Unscored(f"nothing in {kilohertz(band)}")
    return float(abs(np.vdot(first, second)) / scale)


def _metric(band: Band) -> Metric:
    return Metric(
        name=f"coherence_{label(band)}",
        title=f"Coherence {kilohertz(band)}",
        better="higher",
        about="|sum of X conj(Y)| / sqrt(sum of |X|^2 x sum of |Y|^2) over time and the band: 1 "
        "where the output is the original but for gain and one phase, about 0 where only the "
        "magnitudes are (coherence, Carter 1987, with expectations over the band)",
        compute=partial(_coherence, band=band),
    )


COHERENCE = tuple(map(_metric, BANDS))
