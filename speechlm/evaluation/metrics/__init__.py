"""Metrics by name. One small file each behind ``base.Metric``; a new one adds a line here."""

from __future__ import annotations

from collections.abc import Iterable

from speechlm.errors import SpeechLMError
from speechlm.evaluation.metrics.base import Metric, Score
from speechlm.evaluation.metrics.dnsmos import DNSMOS, DNSMOS_NOISE, DNSMOS_SIGNAL
from speechlm.evaluation.metrics.pesq import PESQ
from speechlm.evaluation.metrics.pitch import F0_ERROR, VOICING_ERROR
from speechlm.evaluation.metrics.si_sdr import SI_SDR
from speechlm.evaluation.metrics.speaker import SPEAKER
from speechlm.evaluation.metrics.spectral import LSD, MEL
from speechlm.evaluation.metrics.stoi import ESTOI, STOI
from speechlm.evaluation.metrics.visqol import VISQOL

__all__ = ["METRICS", "Metric", "Score", "named"]

METRICS = {
    metric.name: metric
    for metric in (
        PESQ, VISQOL, STOI, ESTOI, SI_SDR, MEL, LSD, F0_ERROR, VOICING_ERROR, SPEAKER,
        DNSMOS, DNSMOS_SIGNAL, DNSMOS_NOISE,
    )
}  # fmt: skip


def named(names: Iterable[str]) -> list[Metric]:
    """The metrics of these names, in this order.

    Raises:
        SpeechLMError: for a name that is not a metric's.
    """
    chosen = []
    for name in names:
        if name not in METRICS:
            raise SpeechLMError(f"metric {name!r} is unknown: choose from {', '.join(METRICS)}")
        chosen.append(METRICS[name])
    return chosen
