"""What an output depends on: look-ahead and context, measured."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from speechlm.conformance.result import NotApplicable, require
from speechlm.conformance.subject import Subject
from speechlm.types import Wave

CHANGED = 1e-3
"""Share of the output's RMS by which a sample must differ to have changed: -60 dB."""


def causality(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Everything after a moment is replaced by noise: how early does the output change?

    The figure is the algorithmic latency, that is the samples by which output precedes the first
    input that it depends on. Limit: at most the latency that is stated; where none is stated, or an
    infinite one, it is reported alone.
    """
    wave = waves[0]
    moments = [len(wave) // 2 + shift for shift in (0, 37, 101, 211)]
    sound = subject.round_trip(wave)
    random = np.random.default_rng(0)
    ahead = 0
    for moment in moments:
        other = wave.copy()
        other[moment:] = 0.1 * random.standard_normal(len(wave) - moment)
        changed = _changed(sound, subject.round_trip(other))
        if len(changed):
            ahead = max(ahead, moment - int(changed[0]))
    figures = {"look-ahead, ms": 1e3 * ahead / subject.sample_rate}
    if math.isfinite(subject.latency):
        figures["stated latency, ms"] = 1e3 * subject.latency / subject.sample_rate
        require(ahead <= subject.latency, "the output looks further ahead than stated", figures)
    return figures


def context(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Everything before a moment is replaced by noise: how long do codes and output differ?

    There is no limit: the receptive field into the past is a property, not a fault.
    """
    wave = waves[0]
    moment = len(wave) // 3
    other = wave.copy()
    other[:moment] = 0.1 * np.random.default_rng(0).standard_normal(moment)
    figures = {}
    try:
        codec = subject.codec()
    except NotApplicable:
        pass
    else:
        pair = torch.from_numpy(np.stack([wave, other]))
        one, two = codec.encode(pair)
        frames = torch.nonzero((one != two).any(dim=0))
        last = int(frames[-1]) if len(frames) else 0
        figures["codes, s"] = max(0.0, (last + 1) / codec.frame_rate - moment / codec.sample_rate)
    changed = _changed(subject.round_trip(wave), subject.round_trip(other))
    last = int(changed[-1]) if len(changed) else moment
    figures["output, s"] = max(0.0, (last - moment) / subject.sample_rate)
    return figures


def _changed(one: Wave, two: Wave) -> np.ndarray:
    size = min(len(one), len(two))
    level = np.sqrt(np.mean(np.square(one, dtype=np.float64)))
    return np.flatnonzero(np.abs(one[:size] - two[:size]) > CHANGED * level)
