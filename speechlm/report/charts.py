"""Rate-quality curves as SVG: one metric each, families as series, whiskers as intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

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

KBPS_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)

# Series differ in colour (style.css) and in shape, so that neither has to be told apart alone.
SHAPES = (
    "M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0",
    "M-3.8,-3.8h7.6v7.6h-7.6z",
    "M0,-5L4.8,3.6H-4.8z",
    "M0,-5.4L5.4,0L0,5.4L-5.4,0z",
    "M0,5L4.8,-3.6H-4.8z",
    "M-1.7,-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
    "M0,-5.4L5.1,-1.7L3.2,4.4H-3.2L-5.1,-1.7z",
    "M-5,-2.2L-2.2,-5L0,-2.8L2.2,-5L5,-2.2L2.8,0L5,2.2L2.2,5L0,2.8L-2.2,5L-5,2.2L-2.8,0z",
)
SERIES = len(SHAPES)


@dataclass(frozen=True)
class Point:
    """A system: its real rate, and a mean with its interval (NaN where there is none)."""

    label: str
    kbps: float
    mean: float
    low: float
    high: float


@dataclass
class Series:
    """A family's points in order of rate; ``index`` picks its colour and shape."""

    name: str
    index: int
    points: list[Point] = field(default_factory=list)


def chart(
    title: str, unit: str, digits: int, series: Sequence[Series], level: Point | None
) -> Markup:
    """An SVG of ``series`` over the real rate (log); ``level`` is a line for the original."""
    shown = [point for each in series for point in each.points]
    heights = [
        value
        for point in [*shown, *([level] if level else [])]
        for value in (point.mean, point.low, point.high)
        if math.isfinite(value)
    ]
    rates = [point.kbps for point in shown]
    across = Axis(math.log2(min(rates) / 1.25), math.log2(max(rates) * 1.25), LEFT, WIDTH - RIGHT)
    ticks = nice_ticks(min(heights), max(heights))
    margin = 0.04 * (ticks[-1] - ticks[0])
    up = Axis(ticks[0] - margin, ticks[-1] + margin, HEIGHT - BOTTOM, TOP)
    labels = {
        across(math.log2(kbps)): f"{kbps:g}" for kbps in KBPS_TICKS if across.holds(math.log2(kbps))
    }
    parts = [grid(labels, {up(tick): tick for tick in ticks}, "real rate, kbps", unit)]
    if level is not None:
        parts.append(_level(level, up, digits, unit))
    parts += [_series(each, across, up, digits, unit) for each in series]
    summary = f"{title} over real rate in kbps, for {', '.join(each.name for each in series)}"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, summary, Markup("").join(parts)
    )


def marker(index: int) -> Markup:
    """The legend's mark of a series."""
    return Markup(
        '<svg class="key" viewBox="-14 -7 28 14" aria-hidden="true">'
        '<g class="series s{0}"><path class="line" d="M-13,0H13"/><path class="mark" d="{1}"/></g>'
        "</svg>"
    ).format(index % SERIES, SHAPES[index % SERIES])


def _level(level: Point, up: Axis, digits: int, unit: str) -> Markup:
    band = Markup("")
    if math.isfinite(level.low):
        top, bottom = up(level.high), up(level.low)
        band = Markup('<rect class="band" x="{}" y="{}" width="{}" height="{}"/>').format(
            LEFT, top, WIDTH - RIGHT - LEFT, round(bottom - top, 1)
        )
    y = up(level.mean)
    return Markup(
        '<g class="level"><title>{0}</title>{1}<path d="M{2},{3}H{4}"/>'
        '<text x="{5}" y="{6}">{7}</text></g>'
    ).format(
        _says(level, digits, unit),
        band,
        LEFT,
        y,
        WIDTH - RIGHT,
        LEFT + 5,
        y + 13 if y < TOP + 18 else y - 5,
        level.label,
    )


def _series(series: Series, across: Axis, up: Axis, digits: int, unit: str) -> Markup:
    places = [(across(math.log2(p.kbps)), up(p.mean), p) for p in series.points]
    path = "M" + "L".join(f"{x},{y}" for x, y, _ in places)
    index = series.index % SERIES
    parts = [Markup('<g class="series s{}"><path class="line" d="{}"/>').format(index, path)]
    for x, y, point in places:
        whisker = Markup("")
        if math.isfinite(point.low):
            whisker = Markup('<path class="whisker" d="M{0},{1}V{2}"/>').format(
                x, up(point.low), up(point.high)
            )
        parts.append(
            Markup(
                '<g><title>{}</title>{}<path class="mark" transform="translate({},{})" d="{}"/></g>'
            ).format(_says(point, digits, unit), whisker, x, y, SHAPES[index])
        )
    return Markup("").join([*parts, Markup("</g>")])


def _says(point: Point, digits: int, unit: str) -> str:
    text = f"{point.label}: {point.mean:.{digits}f} {unit}".rstrip()
    if math.isfinite(point.low):
        text += f" [{point.low:.{digits}f}, {point.high:.{digits}f}]"
    return f"{text} at {point.kbps:.2f} kbps"
