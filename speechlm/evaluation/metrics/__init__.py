"""Metrics by name. One small file each behind ``base.Metric``; a new one adds a line here.

Those that are measured by band have a metric for each band (``coherence_0_1``, in kHz), and a group
that names all of them (``coherence``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from speechlm.errors import SpeechLMError
from speechlm.evaluation.metrics.base import Metric, Score
from speechlm.evaluation.metrics.coherence import COHERENCE
from speechlm.evaluation.metrics.distillmos import DISTILLMOS
from speechlm.evaluation.metrics.dnsmos import DNSMOS, DNSMOS_NOISE, DNSMOS_SIGNAL
from speechlm.evaluation.metrics.envelope import FRAME_LINE, MODULATION, frame_line
from speechlm.evaluation.metrics.levels import LEVEL, PAUSES
from speechlm.evaluation.metrics.periodicity import PERIODICITY
from speechlm.evaluation.metrics.pesq import PESQ
from speechlm.evaluation.metrics.pitch import F0_ERROR, VOICING_ERROR
from speechlm.evaluation.metrics.repetition import REPETITION, repetition
from speechlm.evaluation.metrics.si_sdr import SI_SDR
from speechlm.evaluation.metrics.speaker import SPEAKER
from speechlm.evaluation.metrics.spectral import LSD, MEL
from speechlm.evaluation.metrics.stoi import ESTOI, STOI
from speechlm.evaluation.metrics.visqol import VISQOL

__all__ = ["GROUPS", "METRICS", "Metric", "Score", "named"]

DIAGNOSTICS = (*COHERENCE, *PERIODICITY, *LEVEL, *MODULATION, *FRAME_LINE, REPETITION, *PAUSES)

METRICS = {
    metric.name: metric
    for metric in (
        PESQ, VISQOL, STOI, ESTOI, SI_SDR, MEL, LSD, F0_ERROR, VOICING_ERROR, SPEAKER,
        DNSMOS, DNSMOS_SIGNAL, DNSMOS_NOISE, DISTILLMOS, *DIAGNOSTICS,
    )
}  # fmt: skip

GROUPS = {
    "coherence": COHERENCE,
    "periodicity": PERIODICITY,
    "level": LEVEL,
    "modulation": MODULATION,
    "frame_line": FRAME_LINE,
    "pauses": PAUSES,
    "diagnostics": DIAGNOSTICS,
}
"""Metrics that one name stands for."""


def named(names: Iterable[str]) -> list[Metric]:
    """The metrics of these names, in this order, those of a group in its place.

    ``frame_line@75`` is of codecs with 75 frames a second, ``repetition@80`` of those with a
    synthesis window of 80 ms.

    Raises:
        SpeechLMError: for a name that is neither a metric's nor a group's.
    """
    return list({metric.name: metric for name in names for metric in _find(name)}.values())


def _find(name: str) -> tuple[Metric, ...]:
    stem, _, value = name.partition("@")
    if name in METRICS:
        return (METRICS[name],)
    if name in GROUPS:
        return GROUPS[name]
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if 0 < number < math.inf:
        if stem == "repetition":
            return (repetition(number),)
        lines = frame_line(number)
        lines = lines if stem == "frame_line" else tuple(m for m in lines if m.name == name)
        if lines:
            return lines
    known = ", ".join((*METRICS, *GROUPS))
    raise SpeechLMError(f"metric {name!r} is unknown: choose from {known}")
