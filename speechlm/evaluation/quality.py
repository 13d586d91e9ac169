"""One pair of waves, many metrics: the short way in."""

from __future__ import annotations

from collections.abc import Iterable

from speechlm.evaluation.alignment import align
from speechlm.evaluation.metrics import Score, named
from speechlm.types import Wave

FAST = ("pesq", "stoi", "estoi", "si_sdr", "mel", "lsd")


def scores(
    reference: Wave, estimate: Wave, rate: int, metrics: Iterable[str] = FAST
) -> dict[str, Score]:
    """Score ``estimate`` (samples,) beside ``reference`` (samples,), both at ``rate`` Hz.

    The estimate's delay is found and removed first. Values that fail are NaN with their reason.

    Raises:
        SpeechLMError: for an unknown metric.
    """
    pair = align(reference, estimate, rate)
    return {metric.name: metric(pair.reference, pair.estimate, rate) for metric in named(metrics)}


def quality(
    reference: Wave, estimate: Wave, rate: int, metrics: Iterable[str] = FAST
) -> dict[str, float]:
    """``scores`` as plain numbers: ``{"pesq": 2.4, "stoi": .91, ...}``, NaN where one failed."""
    found = scores(reference, estimate, rate, metrics)
    return {name: score.value for name, score in found.items()}
