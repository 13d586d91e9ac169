"""The table of an adaptation: what was measured before and after it, and the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from speechlm.evaluation import statistics
from speechlm.evaluation.format import number, signed, verdict
from speechlm.evaluation.statistics import Interval

Cells = Mapping[str, Mapping[str, Any]]
"""Of one recording: by column, ``value`` (None where there is none) and maybe ``weight``."""
TITLES = "", "measure", "before", "after", "difference", "n", ""


@dataclass(frozen=True)
class ComparisonRow:
    """One measure of one condition, such as a bitrate.

    The difference is paired: after minus before, on the recordings that both have.
    """

    condition: str
    measure: str
    digits: int
    better: str | None
    before: Interval
    after: Interval
    difference: Interval

    @property
    def texts(self) -> list[str]:
        """As :data:`TITLES`."""
        change = signed(self.difference.mean, self.digits)
        if math.isfinite(self.difference.low):
            low, high = (
                signed(x, self.digits) for x in (self.difference.low, self.difference.high)
            )
            change += f" ({low} to {high})"
        return [
            self.condition,
            self.measure,
            _with_interval(self.before, self.digits),
            _with_interval(self.after, self.digits),
            change,
            str(self.difference.n),
            verdict(self.difference, self.better),
        ]


def compared(
    condition: str,
    columns: Mapping[str, Mapping[str, Any]],
    before: Sequence[Cells],
    after: Sequence[Cells],
) -> list[ComparisonRow]:
    """A row for each of ``columns`` of which any recording has values before and after.

    Recordings are resampled, not speakers: those of the folder are whom the model is for.

    Args:
        condition: what all rows have in common.
        columns: by name, with ``title``, ``unit``, ``digits`` and ``better``.
        before: the cells of each recording.
        after: the same, in the same order.
    """
    rows = []
    for name, facts in columns.items():
        first, first_weights = _values(before, name)
        second, second_weights = _values(after, name)
        change = statistics.difference(second, first, second_weights, first_weights)
        if change.n:
            rows.append(
                ComparisonRow(
                    condition,
                    f"{facts['title']} {facts['unit']}".strip(),
                    facts["digits"],
                    facts["better"],
                    statistics.mean(first, first_weights),
                    statistics.mean(second, second_weights),
                    change,
                )
            )
    return rows


def terminal_table(rows: Sequence[ComparisonRow], title: str) -> Table:
    """For the terminal."""
    table = Table(title=title)
    for name in TITLES:
        table.add_column(name)
    for row in rows:
        table.add_row(*map(Text, row.texts))
    return table


def markdown_table(rows: Sequence[ComparisonRow]) -> str:
    """For the card."""
    lines = [TITLES, ["---"] * len(TITLES), *(row.texts for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _values(recordings: Sequence[Cells], name: str) -> tuple[list[float], list[float]]:
    cells = [recording.get(name, {"value": None}) for recording in recordings]
    values = [math.nan if cell["value"] is None else float(cell["value"]) for cell in cells]
    return values, [float(cell.get("weight", 1.0)) for cell in cells]


def _with_interval(found: Interval, digits: int) -> str:
    text = number(found.mean, digits)
    if math.isfinite(found.low):
        text += f" ({number(found.low, digits)} to {number(found.high, digits)})"
    return text
