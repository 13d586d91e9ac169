"""What charts have in common: their size, axes, round numbers and a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 16, 38


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most ``most`` round numbers, evenly spaced, that reach from ``low`` to ``high``."""
    span = high - low
    if span <= 1e-9 * max(abs(high), 1e-3):  # one value, as good as
        span = abs(high) if abs(high) > 1e-9 else 1.0
    magnitude = 10 ** math.floor(math.log10(span))
    for step in (magnitude * factor for factor in (0.1, 0.2, 0.25, 0.5, 1, 2, 2.5, 5, 10)):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return [step * number for number in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True)
class Axis:
    """Maps values from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def holds(self, value: float) -> bool:
        """Whether a value is within the axis."""
        return self.low <= value <= self.high


def grid(
    across: Mapping[float, str], up: Mapping[float, float], title: str, unit: str = ""
) -> Markup:
    """Lines with numbers: ``across`` texts by x, below them a ``title``; ``up`` values by y."""
    parts = []
    for y, value in up.items():
        parts.append(
            Markup(
                '<path class="grid" d="M{},{}H{}"/><text class="tick y" x="{}" y="{}">{}</text>'
            ).format(
                LEFT, y, WIDTH - RIGHT, LEFT - 6, y, f"{round(value, 6):g}".replace("-", "\u2212")
            )
        )
    for x, text in across.items():
        parts.append(
            Markup(
                '<path class="grid" d="M{0},{1}V{2}"/>'
                '<text class="tick x" x="{0}" y="{3}">{4}</text>'
            ).format(x, TOP, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 15, text)
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        Markup('<text class="axis" x="{}" y="{}">{}</text>').format(middle, HEIGHT - 5, title)
    )
    if unit:
        parts.append(
            Markup('<text class="axis unit" x="{}" y="{}">{}</text>').format(4, TOP - 2, unit)
        )
    return Markup("").join(parts)
