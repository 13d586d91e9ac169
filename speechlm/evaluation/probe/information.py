"""How much units tell of labels: entropies from counts, with intervals over utterances."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from speechlm.evaluation.statistics import LEVEL, Interval

Counts = NDArray[np.int64]


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


def information(joint: NDArray) -> float:
    """Mutual information in bits, of counts (units, labels)."""
    return entropy(joint.sum(axis=1)) + entropy(joint.sum(axis=0)) - entropy(joint.ravel())


def share(joint: NDArray) -> float:
    """Of the entropy of labels, the share that units tell (PNMI of Hsu et al. 2021, for phones)."""
    return information(joint) / entropy(joint.sum(axis=0))


def joint_counts(units: NDArray, labels: NDArray, shape: tuple[int, int]) -> Counts:
    """How often each unit comes with each label, of frames (frames,)."""
    return np.bincount(units * shape[1] + labels, minlength=math.prod(shape)).reshape(shape)


def jackknife(counts: Counts, figure: Callable[[NDArray], float]) -> Interval:
    """``figure`` of the sum of counts (utterances, ...), with its 95 % interval.

    By leaving out one utterance at a time (Tukey 1958). The bootstrap will not do: an utterance
    that is drawn twice looks like information.
    """
    total, n = counts.sum(axis=0), len(counts)
    value = figure(total)
    if n < 2:
        return Interval(value, math.nan, math.nan, n, 0)
    left = np.array([figure(total - each) for each in counts])
    deviation = math.sqrt((n - 1) / n * float(np.square(left - left.mean()).sum()))
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviation
    return Interval(value, value - half, value + half, n, 0)
