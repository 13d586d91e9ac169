"""Learning curves as SVG: metrics over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from speechlm.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    grid,
    nice_ticks,
)
from speechlm.report.charts import SERIES, SHAPES

MAX_POINTS = 200
"""Points of a line; of more, neighbours are averaged."""
MAX_MARKS = 40
"""Points that a line may have to get a mark for each."""
LOG_RATIO = 20.0
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""


@dataclass(frozen=True)
class Curve:
    """Values (n,) at ``steps`` (n,), in order; ``index`` picks its colour and shape."""

    name: str
    index: int
    steps: Sequence[int]
    values: Sequence[float]

    def points(self) -> list[tuple[float, float]]:
        """The finite points; means of neighbours where there are more than :data:`MAX_POINTS`."""
        pairs = np.array([self.steps, self.values], np.float64).T
        pairs = pairs[np.isfinite(pairs[:, 1])]
        groups = np.array_split(pairs, min(len(pairs), MAX_POINTS)) if len(pairs) else []
        return [(float(step), float(value)) for step, value in (g.mean(axis=0) for g in groups)]


def learning_curves(title: str, curves: Sequence[Curve]) -> Markup | None:
    """An SVG of ``curves`` over the step, or None where no value is finite.

    The vertical axis is logarithmic where all values are positive and their ratio is large.
    """
    drawn = [(curve, points) for curve in curves if (points := curve.points())]
    if not drawn:
        return None
    steps = [step for _, points in drawn for step, _ in points]
    values = [value for _, points in drawn for _, value in points]
    first, last = min(steps), max(steps)
    if first == last:
        first, last = first - 1, last + 1
    across = Axis(first, last, LEFT, WIDTH - RIGHT)
    is_log = min(values) > 0 and max(values) >= LOG_RATIO * min(values)
    transform: Callable[[float], float] = math.log10 if is_log else float
    ticks = _log_ticks(min(values), max(values)) if is_log else nice_ticks(min(values), max(values))
    low, high = transform(min(*ticks, *values)), transform(max(*ticks, *values))
    margin = 0.04 * (high - low)
    up = Axis(low - margin, high + margin, HEIGHT - BOTTOM, TOP)
    labels = {across(t): f"{t:,.10g}" for t in nice_ticks(first, last) if across.holds(t)}
    parts = [grid(labels, {up(transform(tick)): tick for tick in ticks}, "step")]
    for curve, points in drawn:
        places = [(across(step), up(transform(value))) for step, value in points]
        parts.append(_line(curve, points, places))
    summary = f"{title} over steps: {', '.join(curve.name for curve, _ in drawn)}"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, summary, Markup("").join(parts)
    )


def _line(
    curve: Curve, points: Sequence[tuple[float, float]], places: Sequence[tuple[float, float]]
) -> Markup:
    index = curve.index % SERIES
    path = "M" + "L".join(f"{x},{y}" for x, y in places)
    step, value = points[-1]
    parts = [
        Markup('<g class="series s{}"><path class="line" d="{}"><title>{}</title></path>').format(
            index, path, f"{curve.name}: {value:.5g} at step {step:.10g}"
        )
    ]
    if len(points) <= MAX_MARKS:
        for (step, value), (x, y) in zip(points, places, strict=True):
            parts.append(
                Markup(
                    '<g><title>{}</title><path class="mark" transform="translate({},{})" d="{}"/>'
                    "</g>"
                ).format(f"{curve.name}: {value:.5g} at step {step:.10g}", x, y, SHAPES[index])
            )
    return Markup("").join([*parts, Markup("</g>")])


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5, or powers of ten alone, of the decades from ``low`` to ``high``."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 3 else (1,)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]
