"""Two results of one suite, or two systems of one: what changed, and whether it got worse."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from rich.text import Text

from speechlm.errors import SpeechLMError
from speechlm.evaluation import statistics
from speechlm.evaluation.format import NONE, number, signed, verdict
from speechlm.evaluation.results import Results
from speechlm.evaluation.statistics import Interval


@dataclass(frozen=True)
class Change:
    """B minus A of one system and column, on the clips that both have.

    ``verdict`` is ``better`` or ``worse`` where the interval excludes zero, ``missing`` where A
    has values and B has none to compare, else empty.
    """

    system: str
    column: str
    before: Interval
    after: Interval
    change: Interval
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """All changes, and those of them that are a regression of a metric asked for."""

    changes: list[Change]
    regressions: list[Change]
    table: Table

    @property
    def worse(self) -> bool:
        """Whether the gate is shut."""
        return bool(self.regressions)


def compare(
    a: Path, b: Path, metrics: Sequence[str] = (), systems: Sequence[str] = ()
) -> Comparison:
    """Paired differences of ``b`` from ``a``, both ``results.json``.

    B is worse when, on one of ``metrics`` (by column name, such as ``pesq`` or ``wer:tiny-en``;
    none means all that have a better direction), the interval of the paired difference lies
    wholly on the bad side, or when B lost values that A has: a system that no longer runs, clips
    that now fail. ``systems`` restricts the comparison; none means all systems of A.

    Raises:
        SpeechLMError: for files that are not results, names that A does not have, or results that
            share no clip.
    """
    first, second = Results.load(a), Results.load(b)
    known = _known(first)
    chosen_metrics, chosen_systems = list(metrics or known), list(systems or first.systems)
    _check(a, chosen_metrics, known)
    _check(a, chosen_systems, first.systems)
    shared = _shared_clips(first, second)
    if not shared:
        raise SpeechLMError(f"{a} and {b} share no clip")
    changes = [
        _change((first, system), (second, system), column, shared)
        for system in chosen_systems
        for column in known
    ]
    regressions = [
        change
        for change in changes
        if change.column in chosen_metrics and change.verdict in ("worse", "missing")
    ]
    title = "B minus A, paired, with 95 % intervals"
    return Comparison(changes, regressions, _table(title, first, changes, chosen_metrics))


def against(
    path: Path, reference: str, metrics: Sequence[str] = (), systems: Sequence[str] = ()
) -> Comparison:
    """Paired differences of the other ``systems`` from ``reference``, all of one ``results.json``.

    ``metrics`` restricts the columns. A difference is no regression here.

    Raises:
        SpeechLMError: for a file that is no results, and names that it does not have.
    """
    results = Results.load(path)
    columns = list(metrics or _known(results))
    others = list(systems or (name for name in results.systems if name != reference))
    _check(path, columns, _known(results))
    _check(path, [reference, *others], results.systems)
    every = _shared_clips(results, results)
    changes = [
        _change((results, reference), (results, other), column, every)
        for other in others
        for column in columns
    ]
    title = f"Minus {reference} (A), paired, with 95 % intervals"
    return Comparison(changes, [], _table(title, results, changes, columns))


def _known(results: Results) -> list[str]:
    """Columns in which one value is better than another."""
    return [name for name, facts in results.columns.items() if facts["better"]]


def _check(path: Path, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise SpeechLMError(f"{path}: has no {name!r}, only {', '.join(known)}")


def _shared_clips(first: Results, second: Results) -> list[tuple[int, int]]:
    places = {clip["id"]: index for index, clip in enumerate(second.data["clips"])}
    return [
        (index, places[clip["id"]])
        for index, clip in enumerate(first.data["clips"])
        if clip["id"] in places
    ]


def _change(
    before: tuple[Results, str],
    after: tuple[Results, str],
    column: str,
    shared: list[tuple[int, int]],
) -> Change:
    """Of a column, between a system of some results and one of others."""
    (first, old), (second, new) = before, after
    mine, theirs = (np.array(places) for places in zip(*shared, strict=True))
    values, weights = (array[mine] for array in first.cells(old, column))
    present = new in second.systems and column in second.columns
    if present:
        others, other_weights = (array[theirs] for array in second.cells(new, column))
    else:
        others, other_weights = np.full_like(values, np.nan), np.ones_like(values)
    lost = np.isfinite(values) & ~np.isfinite(others)
    who = first.speakers
    speakers = [who[place] for place in mine] if who and len(values) == len(mine) else None
    change = statistics.difference(others, values, other_weights, weights, speakers)
    judged = verdict(change, first.columns[column]["better"])
    return Change(
        new,
        column,
        statistics.mean(values, weights, speakers),
        statistics.mean(others, other_weights, speakers),
        change,
        "missing" if lost.any() else judged,
    )


def _table(heading: str, results: Results, changes: list[Change], gated: list[str]) -> Table:
    table = Table(title=heading)
    for title in ("system", "metric", "A", "B", "difference", "n", "speakers", ""):
        table.add_column(title, justify="left" if title in ("system", "metric", "") else "right")
    previous = ""
    for change in changes:
        facts = results.columns[change.column]
        digits = facts["digits"]
        if not math.isfinite(change.change.mean) and not change.verdict:
            continue
        difference = signed(change.change.mean, digits)
        if math.isfinite(change.change.low):
            low, high = signed(change.change.low, digits), signed(change.change.high, digits)
            difference += f" [{low}, {high}]"
        style = {"better": "green", "worse": "bold red", "missing": "bold red"}
        note = change.verdict
        if change.verdict in ("worse", "missing") and change.column not in gated:
            note += " (not gated)"
        table.add_row(
            change.system if change.system != previous else "",
            f"{facts['title']} {facts['unit']}".strip(),
            number(change.before.mean, digits),
            number(change.after.mean, digits),
            Text(difference),  # not markup: an interval is in brackets
            str(change.change.n),
            NONE if change.change.clusters is None else str(change.change.clusters),
            Text(note, style=style.get(change.verdict, "")),
        )
        previous = change.system
    return table
