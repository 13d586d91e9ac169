"""Time over length."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from speechlm.conformance.result import require
from speechlm.conformance.subject import CodecSubject, Subject
from speechlm.types import Wave

RATIO = 3.0
"""Largest ratio of the times of a recording and of one half as long: 2 is linear, 4 quadratic."""
SECONDS = 4.0


def growth(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Processor time of a round trip at 4, 8 and 16 s. Limit: twice the length takes at most three
    times as long; the ratio is the best of three, since other work only adds to it."""
    wave = max(waves, key=len)
    one = np.resize(wave, round(SECONDS * subject.sample_rate))
    clock = time.process_time if isinstance(subject, CodecSubject) else time.perf_counter
    spent = {}
    for times in (1, 2, 4):
        repeated = np.tile(one, times)
        best = float("inf")
        for _ in range(3):
            start = clock()
            subject.round_trip(repeated)
            best = min(best, clock() - start)
        spent[times] = best
    figures = {
        "4 s, RTF": spent[1] / SECONDS,
        "8 s over 4 s": spent[2] / spent[1],
        "16 s over 8 s": spent[4] / spent[2],
    }
    require(figures["16 s over 8 s"] <= RATIO, "time grows faster than length", figures)
    return figures
