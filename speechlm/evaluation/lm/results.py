"""What ``results.json`` of a language model's suite holds: several tables, and goals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from speechlm.evaluation import results
from speechlm.evaluation.format import number
from speechlm.evaluation.results import Results

FORMAT = "speechlm-evaluation-lm-1"


@dataclass(frozen=True)
class Goal:
    """What a model of this project is to reach: the mean of a section's column.

    ``stretch`` is what it would be good to reach, ``least`` how many items it needs.
    """

    section: str
    column: str
    bound: float
    stretch: float | None = None
    least: int = 0


GOALS = (
    Goal("likelihood", "against", -15.0),
    Goal("choice", "shuffled", 90.0, least=400),
    Goal("choice", "reversed", 90.0, least=400),
    Goal("choice", "spliced", 90.0, least=400),
    Goal("asr", "written", 30.0, 10.0),
    Goal("tts", "cer", 25.0, 10.0),
    Goal("tts made-up", "cer", 25.0, 10.0),
    Goal("tts", "ended", 95.0),
    Goal("tts made-up", "ended", 95.0, least=100),
    Goal("continuation", "unlooped", 95.0, least=100),
    Goal("continuation", "first", 300.0),
    Goal("continuation", "rtf", 1.0),
)
"""Sections and columns as :meth:`LMResults.places` takes them."""


class LMResults:
    """``data`` is plain: ``model`` (its facts), ``goals``, ``absent`` (why a part did not run) and
    ``sections`` by name, each as :class:`~speechlm.evaluation.results.Results` holds it.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @classmethod
    def load(cls, path: Path) -> LMResults:
        """Read ``results.json``.

        Raises:
            SpeechLMError: when the file is missing or is something else.
        """
        return cls(results.read(path, FORMAT))

    def save(self, path: Path) -> None:
        """Write ``results.json``; NaN is null there."""
        results.write(path, self.data)

    @property
    def name(self) -> str:
        """Of the model."""
        return str(self.data["model"]["name"])

    @property
    def sections(self) -> dict[str, Results]:
        return {name: Results(data) for name, data in self.data["sections"].items()}

    def places(self, section: str, column: str) -> Iterator[tuple[str, str]]:
        """Sections of this name, but for a number; of both, but for what follows a colon."""
        for name, found in self.sections.items():
            if name.partition(":")[0].rstrip(" 0123456789") == section:
                for each in found.columns:
                    if each.partition(":")[0] == column:
                        yield name, each

    def judged(self) -> None:
        """Fill in ``goals``: for each one of a part that ran, the figure and whether it is met."""
        self.data["goals"] = [
            self._judged(goal, *place)
            for goal in GOALS
            for place in self.places(goal.section, goal.column)
        ]

    def _judged(self, goal: Goal, section: str, column: str) -> dict[str, Any]:
        found = self.sections[section]
        figure = dict(found.data["summary"][self.name][column])
        del figure["reasons"]
        met = _met(figure, goal, found.columns[column]["better"])
        return {**asdict(goal), "section": section, "column": column, **figure, "met": met}

    def goals(self) -> Iterator[dict[str, str]]:
        """In words: what each goal is about, what is asked and found, n, and the verdict."""
        for goal in self.data["goals"]:
            section = self.sections[goal["section"]]
            facts = section.columns[goal["column"]]
            yield {
                "about": f"{section.data['title']}: {facts['title']}",
                "asked": _asked(goal, facts),
                "found": figure(goal, facts["digits"]),
                "n": str(goal["n"]),
                "verdict": "met" if goal["met"] else "missed",
            }

    def table(self) -> Group:
        """For the terminal: every section, the goals, and what did not run."""
        parts = [found.table() for found in self.sections.values()]
        goals = Table("goal", "asked", "found", "n", "", title="Goals")
        for row in self.goals():
            goals.add_row(*row.values())
        absent = [
            Text(f"{name} not run: {reason}", style="yellow")
            for name, reason in self.data["absent"].items()
        ]
        return Group(*parts, *([goals] if self.data["goals"] else []), *absent)


def _met(figure: dict[str, Any], goal: Goal, better: str) -> bool:
    """Whether a mean reaches a goal, over as many items; one that there is not does not."""
    mean = figure["mean"]
    if mean is None or figure["n"] < goal.least:
        return False
    return bool(mean >= goal.bound if better == "higher" else mean <= goal.bound)


def _asked(goal: dict[str, Any], facts: dict[str, Any]) -> str:
    """A goal in words: ``at most 25 %, n at least 100``."""
    word = "at least" if facts["better"] == "higher" else "at most"
    text = f"{word} {number(goal['bound'], 0)} {facts['unit']}".rstrip()
    if goal["stretch"] is not None:
        text += f" (better {number(goal['stretch'], 0)})"
    return text + (f", n at least {goal['least']}" if goal["least"] else "")


def figure(found: dict[str, Any], digits: int) -> str:
    """A mean with its interval: ``12.3 (11.0 to 13.9)``; and what failed."""
    text = number(found["mean"], digits)
    if found["low"] is not None:
        text += f" ({number(found['low'], digits)} to {number(found['high'], digits)})"
    return text + (f", {found['failed']} failed" if found["failed"] else "")
