"""How much units tell of labels, and entropies, from counts, with intervals over utterances."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from speechlm.evaluation import statistics
from speechlm.evaluation.statistics import LEVEL, Interval

Counts = NDArray[np.int64]

PRIOR = 5.0
"""Frames that a reader believes to have seen of each unit, before any."""


def entropy(counts: NDArray) -> float:
    """Bits of a distribution known from counts, by Miller and Madow (1955).

    What plain frequencies give is too low, by nearly (kinds - 1) / 2n nats.
    """
    seen = counts[counts > 0].astype(np.float64)
    total = seen.sum()
    if not total:
        return math.nan
    plain = math.log(total) - float((seen * np.log(seen)).sum() / total)
    return (plain + (len(seen) - 1) / (2 * total)) / math.log(2)


def told(counts: Counts) -> Interval:
    """Of what labels of frames are in doubt, the share that units tell, of counts (utterances,
    units, labels).

    What a reader gains who knows all utterances but the one that is read: 1 - H(label | unit) /
    H(label), both as cross-entropies, by counts with :data:`PRIOR` frames of what labels are
    overall. Mutual information of counts themselves (PNMI of Hsu et al. 2021) rewards a tokenizer
    for having many kinds, each seen a few times; this punishes it. Below 0, units mislead.
    """
    total = counts.sum(axis=0)
    doubts, left = [], []
    for each in counts:
        others = total - each
        overall = others.sum(axis=0) + 1 / others.shape[1]
        overall = overall / overall.sum()
        known = others + PRIOR * overall
        known = known / known.sum(axis=1, keepdims=True)
        doubts.append(-float((each.sum(axis=0) * np.log(overall)).sum()))
        left.append(-float((each * np.log(known)).sum()))
    doubt = np.array(doubts)
    shares = np.divide(doubt - left, doubt, out=np.full(len(doubt), np.nan), where=doubt > 0)
    return statistics.mean(shares, doubt)


def joint_counts(units: NDArray, labels: NDArray, shape: tuple[int, int]) -> Counts:
    """How often each unit comes with each label, of frames (frames,)."""
    return np.bincount(units * shape[1] + labels, minlength=math.prod(shape)).reshape(shape)


def jackknife(counts: Counts, figure: Callable[[NDArray], float]) -> Interval:
    """``figure`` of the sum of counts (utterances, ...), with its 95 % interval.

    By leaving out one utterance at a time (Tukey 1958), since the figure is no mean over them.
    """
    total, n = counts.sum(axis=0), len(counts)
    value = figure(total)
    if n < 2:
        return Interval(value, math.nan, math.nan, n, 0)
    left = np.array([figure(total - each) for each in counts])
    deviation = math.sqrt((n - 1) / n * float(np.square(left - left.mean()).sum()))
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviation
    return Interval(value, value - half, value + half, n, 0)
