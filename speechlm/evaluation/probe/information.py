"""How much units tell of labels, and entropies, from counts, with intervals over utterances."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from speechlm.evaluation.statistics import LEVEL, Interval
from speechlm.types import Floats, Ints

PRIORS = (1.0, 10.0, 100.0, 1000.0)
"""Frames that a reader may believe to have seen of each unit, before any."""


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


def uncertainty_coefficients(counts: Ints) -> tuple[Floats, Floats]:
    """Uncertainty coefficient 1 - H(label | unit) / H(label) of each utterance, and H(label), its
    weight, both (utterances,): of counts (utterances, units, labels).

    Both entropies are cross-entropies of an utterance under the counts of all others. Counts of a
    unit are smoothed by a number of frames of the overall distribution of labels, the best of
    :data:`PRIORS` for all utterances together. Mutual information of the counts themselves (PNMI of
    Hsu et al. 2021) rewards a tokenizer for many kinds, each seen a few times; this does not.
    """
    total = counts.sum(axis=0)
    doubt, left = np.zeros(len(counts)), np.zeros((len(counts), len(PRIORS)))
    for number, each in enumerate(counts):
        others = total - each
        overall = others.sum(axis=0) + 1 / others.shape[1]
        overall = overall / overall.sum()
        doubt[number] = -(each.sum(axis=0) * np.log(overall)).sum()
        units, labels = each.nonzero()
        seen, others = each[units, labels], others[units]
        for column, prior in enumerate(PRIORS):
            known = others[np.arange(len(units)), labels] + prior * overall[labels]
            left[number, column] = -(seen * np.log(known / (others.sum(axis=1) + prior))).sum()
    best = left[:, left.sum(axis=0).argmin()]
    told = np.divide(doubt - best, doubt, out=np.full(len(doubt), np.nan), where=doubt > 0)
    return told, doubt


def joint_counts(units: NDArray, labels: NDArray, shape: tuple[int, int]) -> Ints:
    """How often each unit comes with each label, of frames (frames,)."""
    return np.bincount(units * shape[1] + labels, minlength=math.prod(shape)).reshape(shape)


def jackknife(counts: Ints, figure: Callable[[NDArray], float]) -> Interval:
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
