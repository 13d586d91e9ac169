"""Metrics by name. One small file each behind ``base.Metric``; a new one adds a line here.

Those that are measured by band have a metric for each band (``coherence_0_1``, in kHz), and a group
that names all of them (``coherence``).
"""

from __future__ import annotations

from collections.abc import Iterable

from speechlm.errors import SpeechLMError
from speechlm.evaluation.metrics.base import Metric, Score
from speechlm.evaluation.metrics.coherence import COHERENCE
from speechlm.evaluation.metrics.distillmos import DISTILLMOS
from speechlm.evaluation.metrics.dnsmos import DNSMOS, DNSMOS_NOISE, DNSMOS_SIGNAL
from speechlm.evaluation.metrics.pesq import PESQ
from speechlm.evaluation.metrics.pitch import F0_ERROR, VOICING_ERROR
from speechlm.evaluation.metrics.si_sdr import SI_SDR
from speechlm.evaluation.metrics.speaker import SPEAKER
from speechlm.evaluation.metrics.spectral import LSD, MEL
from speechlm.evaluation.metrics.stoi import ESTOI, STOI
from speechlm.evaluation.metrics.visqol import VISQOL

__all__ = ["GROUPS", "METRICS", "Metric", "Score", "named"]

METRICS = {
    metric.name: metric
    for metric in (
        PESQ, VISQOL, STOI, ESTOI, SI_SDR, MEL, LSD, F0_ERROR, VOICING_ERROR, SPEAKER,
        DNSMOS, DNSMOS_SIGNAL, DNSMOS_NOISE, DISTILLMOS, *COHERENCE,
    )
}  # fmt: skip

GROUPS = {"coherence": COHERENCE}
"""Metrics that one name stands for."""


def named(names: Iterable[str]) -> list[Metric]:
    """The metrics of these names, in this order, those of a group in its place.

    Raises:
        SpeechLMError: for a name that is neither a metric's nor a group's.
    """
    chosen: dict[str, Metric] = {}
    for name in names:
        if name not in METRICS and name not in GROUPS:
            known = ", ".join((*METRICS, *GROUPS))
            raise SpeechLMError(f"metric {name!r} is unknown: choose from {known}")
        for metric in GROUPS.get(name) or (METRICS[name],):
            chosen[metric.name] = metric
    return list(chosen.values())
