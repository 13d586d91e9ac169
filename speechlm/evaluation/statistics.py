"""Means with intervals: the bootstrap over clips or speakers, alone and paired; Wilson's of shares.

Clips of one speaker are alike, so where speakers are known they are the resampling unit (the
cluster bootstrap, Davison and Hinkley 1997, section 3.8): intervals over clips would be too narrow
for a speaker who was not recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from speechlm.types import Floats

RESAMPLES = 4000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` clips with its 95 % interval; ``failed`` clips have no value.

    ``clusters`` is the number of speakers that the ``n`` clips are of, where these were resampled.
    The interval is NaN when fewer than two clips or clusters are left, the mean when no clip is.
    """

    mean: float
    low: float
    high: float
    n: int
    failed: int
    clusters: int | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference of this interval is one to believe."""
        return self.low > 0 or self.high < 0


def known(clusters: Sequence[Hashable | None]) -> list[Hashable] | None:
    """``clusters`` (clips,), such as speakers, if there is one of each clip; else None."""
    found = [cluster for cluster in clusters if cluster is not None]
    return found if found and len(found) == len(clusters) else None


def mean(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Weighted mean of ``values`` (clips,), NaN left out, with its bootstrap interval.

    The interval is the percentile bootstrap (Efron 1979) with clips as the resampling unit, or with
    ``clusters`` (clips,), such as speakers: those then are drawn, with all their clips. With
    ``weights`` (clips,) the statistic is a ratio of sums: a word error rate from each clip's rate
    weighted by its words, a bitrate from each clip's rate weighted by its seconds.
    """
    value, weight = _prepared(values, weights)
    groups = _Groups.of(clusters, len(value))
    return _interval(*_bootstrap(value, weight, groups), value, groups)


def share(values: ArrayLike, clusters: Sequence[Hashable] | None = None) -> Interval:
    """The percentage of clips that something holds for, with its interval (Wilson 1927).

    ``values`` (clips,) are 0 or 100, and NaN for those left out. Unlike the bootstrap's, the
    interval has a width where it holds for all clips or for none. With ``clusters``, as for
    :func:`mean`, it is that of the effective number of clips: their number over the design effect
    (Kish 1965; Korn and Graubard 1998), or the number of clusters where all clips agree. There is
    none of fewer than two clusters.
    """
    value, _ = _prepared(values, None)
    present = np.isfinite(value)
    found = value[present] / 100
    if not np.isin(found, (0, 1)).all():
        raise ValueError("a share is of values that are 0 or 100")
    n, failed = len(found), int((~present).sum())
    groups = _Groups.of(clusters, len(value))
    number = groups.present(value) if groups.clustered else None
    if not n:
        return Interval(math.nan, math.nan, math.nan, 0, failed, number)
    p, z2 = float(found.mean()), NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    if number == 1:
        return Interval(100 * p, math.nan, math.nan, n, failed, number)
    size = n if number is None else _effective(value / 100, groups)
    centre = (p + z2 / (2 * size)) / (1 + z2 / size)
    half = math.sqrt(z2 * (p * (1 - p) + z2 / (4 * size)) / size) / (1 + z2 / size)
    low, high = max(centre - half, 0.0), min(centre + half, 1.0)
    return Interval(100 * p, 100 * low, 100 * high, n, failed, number)


def _effective(value: Floats, groups: _Groups) -> float:
    """How many independent clips tell as much as ``value`` (clips,) of 0, 1 or NaN in groups."""
    present = np.isfinite(value)
    n, number = int(present.sum()), groups.present(value)
    p = float(value[present].mean())
    if p in (0.0, 1.0):
        return number
    # The variance of a ratio of sums over groups, and of as many independent clips.
    residuals = groups.sums(np.where(present, value - p, 0.0)[:, None])
    variance = number / (number - 1) * float(np.square(residuals).sum()) / n**2
    return min(n, p * (1 - p) / variance) if variance else n


def difference(
    values: ArrayLike,
    baseline: ArrayLike,
    weights: ArrayLike | None = None,
    baseline_weights: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """Mean of ``values`` minus mean of ``baseline`` on the clips (clips,) where both have one.

    Both are resampled together, so what is hard about a clip for both cancels out. ``clusters`` is
    as for :func:`mean`.
    """
    groups = _Groups.of(clusters, len(np.atleast_1d(np.asarray(values))))
    first, first_weight = _prepared(values, weights)
    second, second_weight = _prepared(baseline, baseline_weights)
    both = np.isfinite(first) & np.isfinite(second)
    first = np.where(both, first, np.nan)
    second = np.where(both, second, np.nan)
    first_mean, first_resampled = _bootstrap(first, first_weight, groups)
    second_mean, second_resampled = _bootstrap(second, second_weight, groups)
    return _interval(first_mean - second_mean, first_resampled - second_resampled, first, groups)


def of_sums(sums: Floats, statistics: Callable[[Floats], Floats], n: int) -> list[Interval]:
    """Statistics of ``sums`` over clips (clips, ...) of what ``n`` clips have, with intervals.

    ``statistics`` takes several such sums (resamples, ...) at once and gives (resamples, figures).
    There is no interval where a figure is NaN in more than one resampled set of twenty; where it is
    NaN of all clips, all have failed.
    """
    whole = statistics(sums.sum(axis=0)[None])[0]
    drawn = statistics(np.tensordot(_counts(len(sums)), sums, axes=1))
    found = []
    for centre, resampled in zip(whole.tolist(), drawn.T, strict=True):
        low = high = math.nan
        if n >= 2 and _mostly_finite(resampled):
            low, high = _ends(resampled)
        known = n if math.isfinite(centre) else 0
        ends = (low, high) if known else (math.nan, math.nan)
        found.append(Interval(centre, *ends, known, len(sums) - known))
    return found


def of_pairs(values: Floats) -> Interval:
    """Mean over pairs of ``n`` things, above the diagonal of ``values`` (n, n).

    Things are the resampling unit, not pairs: a resampled pair weighs the product of how often its
    two were drawn. There is no interval where too few things make no pair in many resampled sets.
    """
    n = len(values)
    rows, columns = np.triu_indices(n, 1)
    found = values[rows, columns]
    if not len(found):
        return Interval(math.nan, math.nan, math.nan, n, 0)
    counts = _counts(n)
    weights = counts[:, rows] * counts[:, columns]
    total = weights.sum(axis=1)
    resampled = np.divide(weights @ found, total, out=np.full(len(total), np.nan), where=total > 0)
    low, high = _ends(resampled) if _mostly_finite(resampled) else (math.nan, math.nan)
    return Interval(float(found.mean()), low, high, n, 0)


def _mostly_finite(resampled: Floats) -> bool:
    return bool(np.isfinite(resampled).mean() >= 0.95)


def _ends(resampled: Floats) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def _prepared(values: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    value = np.asarray(values, dtype=np.float64)
    weight = np.ones_like(value) if weights is None else np.asarray(weights, dtype=np.float64)
    if value.ndim != 1 or value.shape != weight.shape:
        raise ValueError(f"expected (clips,) twice, got {value.shape} and {weight.shape}")
    return value, weight


@dataclass(frozen=True)
class _Groups:
    """Clips in groups that are resampled as one: the group's number of each (clips,)."""

    numbers: NDArray[np.intp]
    clustered: bool

    @classmethod
    def of(cls, clusters: Sequence[Hashable] | None, clips: int) -> _Groups:
        if clusters is None:
            return cls(np.arange(clips), False)
        if len(clusters) != clips:
            raise ValueError(f"expected a cluster for each of {clips} clips, got {len(clusters)}")
        known: dict[Hashable, int] = {}
        numbers = [known.setdefault(cluster, len(known)) for cluster in clusters]
        return cls(np.array(numbers, np.intp), True)

    def sums(self, columns: Floats) -> Floats:
        """Of ``columns`` (clips, ...) within each group (groups, ...)."""
        if not self.clustered:
            return columns
        found = np.zeros((int(self.numbers.max()) + 1, *columns.shape[1:]))
        np.add.at(found, self.numbers, columns)
        return found

    def present(self, value: Floats) -> int:
        """How many groups have a clip with a value."""
        return len(np.unique(self.numbers[np.isfinite(value)]))


def _bootstrap(value: Floats, weight: Floats, groups: _Groups) -> tuple[float, Floats]:
    """The weighted mean, and the same of ``RESAMPLES`` resampled sets (of the same seed)."""
    if not len(value):
        return math.nan, np.zeros(0)
    present = np.isfinite(value)
    share = np.where(present, weight, 0.0)
    product = share * np.where(present, value, 0.0)
    sums = groups.sums(np.stack([product, share], axis=1))
    with np.errstate(invalid="ignore"):
        resampled = np.divide(*(_counts(len(sums)) @ sums).T)
        return float(np.divide(product.sum(), share.sum())), resampled


@lru_cache(maxsize=4)
def _counts(clips: int) -> Floats:
    """How often each clip is drawn in each resampled set: (RESAMPLES, clips), always the same."""
    draws = np.random.default_rng(0).integers(clips, size=(RESAMPLES, clips))
    draws += clips * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(draws.ravel(), minlength=RESAMPLES * clips)
    return counts.reshape(RESAMPLES, clips).astype(np.float64)


def _interval(centre: float, resampled: Floats, value: Floats, groups: _Groups) -> Interval:
    n, present = int(np.isfinite(value).sum()), groups.present(value)
    low = high = math.nan
    if present >= 2:
        low, high = _ends(resampled)
    clusters = present if groups.clustered else None
    return Interval(centre, low, high, n, len(value) - n, clusters)
