"""Ten encodings, one after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from speechlm.conformance.result import NotApplicable, require
from speechlm.conformance.subject import CodecSubject, Subject
from speechlm.evaluation.metrics.spectral import MEL
from speechlm.evaluation.metrics.stoi import STOI
from speechlm.types import Wave

TIMES = 10
GAIN = 6.0
"""Decibels by which the level may drift in all: what gains in a loop grows without end."""


def tandem(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """The output is encoded again, ten times in all.

    Reported: the share of codes that the second encoding keeps; STOI and mel distance to the
    original after one and ten. Limit: the level drifts by at most :data:`GAIN`.
    """
    subject.require_trained()
    original = max(waves, key=len)
    wave = original
    figures: dict[str, float] = {}
    codes: Tensor | None = None
    for turn in range(1, TIMES + 1):
        if isinstance(subject, CodecSubject) and turn <= 2:
            before, codes = codes, subject.encode(wave)
            if before is not None:
                figures["codes kept, %"] = 100 * float((codes == before).float().mean())
        wave = np.clip(subject.round_trip(wave), -1, 1)
        if turn in (1, TIMES):
            size = min(len(wave), len(original))
            for metric in (STOI, MEL):
                value = metric.compute(original[:size], wave[:size], subject.sample_rate)
                figures[f"{metric.title} after {turn}"] = float(value)
    drift = 20 * np.log10((rms(wave) + 1e-9) / rms(original))
    figures["level after 10, dB"] = float(drift)
    require(abs(drift) <= GAIN, "the level drifts", figures)
    return figures


def rms(wave: Wave) -> float:
    """Root mean square.

    Raises:
        NotApplicable: of silence.
    """
    value = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
    if not value:
        raise NotApplicable("the recording is silent")
    return value
