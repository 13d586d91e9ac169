"""A table of the suite: systems, items, and a value in each column; and what there is to hear."""

from __future__ import annotations

from typing import Any

from speechlm.evaluation.metrics import Score
from speechlm.evaluation.results import Results, cell, stated
from speechlm.evaluation.samples import ItemSamples
from speechlm.evaluation.schema import Column
from speechlm.evaluation.statistics import Interval


class Section:
    """Collects rows as :class:`~speechlm.evaluation.results.Results` holds them.

    A row has the columns that say something about its system, and not the others.
    """

    def __init__(self, title: str, about: str, columns: dict[str, Column]):
        self.title, self.about, self.columns = title, about, columns
        self.items: list[dict[str, Any]] = []
        self.systems: dict[str, str] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.figures: dict[str, dict[str, dict[str, Any]]] = {}
        self.samples: list[ItemSamples] = []

    def system(self, name: str, about: str) -> str:
        """Add a system, a row of the table; its name."""
        self.systems[name] = about
        self.rows[name] = []
        return name

    def item(self, name: str, **facts: Any) -> None:
        """Add an item, of which each system is to have a row."""
        self.items.append({"id": name, **facts})

    def add(self, system: str, cells: dict[str, Score], **more: Any) -> None:
        """Add the row of a system for the latest item."""
        self.rows[system].append(
            {"cells": {name: cell(score) for name, score in cells.items()}} | more
        )

    def figure(self, system: str, column: str, found: Interval, reason: str = "") -> None:
        """State a figure that is no mean of rows; ``reason`` is why it failed, where it did."""
        reasons = {reason: found.failed} if found.failed and reason else {}
        self.figures.setdefault(system, {})[column] = stated(found, reasons)

    def results(self) -> Results:
        """What was collected, with its statistics."""
        results = Results(
            {
                "title": self.title,
                "about": self.about,
                "columns": {name: column.facts for name, column in self.columns.items()},
                "clips": self.items,
                "systems": {
                    name: {"family": name, "kbps": None, "absent": "", "about": about}
                    for name, about in self.systems.items()
                },
                "rows": self.rows,
            }
        )
        results.summarise()
        for system, figures in self.figures.items():
            results.data["summary"][system] |= figures
        return results
