"""A sweep of temperatures as one curve of perplexity over VERT, and where it passes the recordings.

A cold model repeats itself and is probable, a hot one neither, so no one temperature compares two
models. After GSLM (Lakhotia et al. 2021), a curve is read where it has the VERT of recordings, and
where it has their perplexity; the area under it between these two points is one figure for both.
What is measured of few recordings may go up and down instead, and then has no such point or area.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from speechlm.types import Floats


class Points(NamedTuple):
    """NaN where the curve does not get to the point, or passes it more than once.

    Attributes:
        ppx: perplexity where VERT is that of recordings.
        vert: VERT (%) where the perplexity is that of recordings.
        words: dictionary words (%) where VERT is that of recordings.
        auc: the area under the curve, perplexity times VERT as a share, from one point to the
            other. A model that goes through the recordings' own point has 0, one that passes it
            on its better side is below 0. NaN where VERT rises or perplexity falls in between.
    """

    ppx: float
    vert: float
    words: float
    auc: float


def points(curve: Floats, recordings: Floats) -> Points:
    """The points of a ``curve`` (temperatures, 3) of VERT (%), perplexity and dictionary words (%).

    The coldest is first, and straight lines join the temperatures. ``recordings`` (3,) are the same
    of recordings.
    """
    at_vert, at_ppx = (_place(curve[:, column], recordings[column]) for column in (0, 1))
    auc = math.nan
    if math.isfinite(at_vert) and math.isfinite(at_ppx):
        ends = sorted((at_vert, at_ppx))
        inside = range(math.ceil(ends[0]), math.floor(ends[1]) + 1)
        path = np.array([_at(curve, place) for place in (ends[0], *inside, ends[1])])
        if (np.diff(path[:, 0]) <= 0).all() and (np.diff(path[:, 1]) >= 0).all():
            area = abs(float(np.trapezoid(path[:, 1], path[:, 0] / 100)))
            # From cold to hot, a curve that is worse has the recordings' perplexity first.
            auc = area if at_ppx <= at_vert else -area
    _, ppx, words = _at(curve, at_vert)
    return Points(ppx, _at(curve, at_ppx)[0], words, auc)


def _place(values: Floats, wanted: float) -> float:
    """Where a curve (n,) has a value: 1.5 is half-way from the second place to the third.

    NaN where it has it nowhere, or at several places.
    """
    places = {number for number, value in enumerate(values.tolist()) if value == wanted} | {
        place + (wanted - here) / (there - here)
        for place, (here, there) in enumerate(itertools.pairwise(values.tolist()))
        if min(here, there) < wanted < max(here, there)
    }
    return float(places.pop()) if len(places) == 1 else math.nan


def _at(curve: Floats, place: float) -> tuple[float, float, float]:
    if math.isnan(place):
        return math.nan, math.nan, math.nan
    first, second, third = (
        float(np.interp(place, np.arange(len(curve)), column)) for column in curve.T
    )
    return first, second, third
