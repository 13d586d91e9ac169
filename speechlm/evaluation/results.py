"""A suite's outcome: rows, columns, means with intervals; what ``results.json`` holds."""

from __future__ import annotations

import json
import math
import os
import platform
from collections import Counter
from collections.abc import Hashable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group
from rich.table import Table
from rich.text import Text

import speechlm
from speechlm.errors import SpeechLMError
from speechlm.evaluation import statistics
from speechlm.evaluation.clips import Clip
from speechlm.evaluation.codebooks import usage
from speechlm.evaluation.format import extent, number
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.schema import Column, cells, columns
from speechlm.evaluation.setup import Plan
from speechlm.evaluation.statistics import Interval
from speechlm.evaluation.systems import Spec, System
from speechlm.evaluation.worker import Outcome
from speechlm.utils.files import atomic_path

FORMAT = "speechlm-evaluation-1"
COLUMNS = 6  # of a table on the terminal
PACKAGES = ("numpy", "torch", "av", "pesq", "pystoi", "faster-whisper", "jiwer")


@dataclass
class ResultRow:
    """One clip through one system: ``key`` and ``audio`` are where the cache has it."""

    spec: Spec
    clip: Clip
    key: str
    audio: Path
    outcome: Outcome


class Results:
    """What ``results.json`` holds, and the statistics of it.

    ``data`` is plain: ``columns`` by name, ``clips``, ``systems`` by name (``absent`` says why one
    did not run), ``rows`` by system, one a clip in the order of ``clips``, with ``cells`` by
    column: ``{"value": 2.1}`` or ``{"value": null, "reason": "..."}``, and a ``weight`` where a
    clip's share in the mean is not 1; ``summary`` has the means.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read ``results.json``.

        Raises:
            SpeechLMError: when the file is missing or is something else.
        """
        return cls(read(path, FORMAT))

    def save(self, path: Path) -> None:
        """Write ``results.json``; NaN is null there."""
        write(path, self.data)

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        columns: dict[str, dict[str, Any]] = self.data["columns"]
        return columns

    @cached_property
    def systems(self) -> list[str]:
        """The systems that ran, in the suite's order."""
        return [name for name, facts in self.data["systems"].items() if not facts["absent"]]

    @cached_property
    def speakers(self) -> list[Hashable] | None:
        """Who speaks in each clip (clips,), where it is known of all."""
        return statistics.known([clip.get("speaker") for clip in self.data["clips"]])

    @property
    def number_of_speakers(self) -> int | None:
        """How many speakers there are, where they are known of all clips."""
        return len(set(self.speakers)) if self.speakers else None

    @property
    def extent(self) -> str:
        """``n=120 clips of 47 speakers``."""
        return f"n={extent(len(self.data['clips']), self.number_of_speakers)}"

    def clusters(self, values: NDArray[Any]) -> list[Hashable] | None:
        """What to resample ``values`` by: speakers, if they are known and each clip has a value."""
        speakers = self.speakers
        return speakers if speakers and len(speakers) == len(values) else None

    def table(self) -> Group:
        """For the terminal: means with intervals, a few columns at a time, and who did not run."""
        names = list(self.columns)
        parts = [names[start : start + COLUMNS] for start in range(0, len(names), COLUMNS)]
        absent = [
            Text(f"{names} not run: {reason}", style="yellow") for names, reason in self.absent
        ]
        return Group(*map(self._part, parts), *absent)

    def _part(self, columns: list[str]) -> Table:
        table = Table(title=f"{self.data['title']}, {self.extent}")
        table.add_column("system", no_wrap=True)
        for facts in (self.columns[column] for column in columns):
            arrow = {"higher": "\u2191", "lower": "\u2193", None: ""}[facts["better"]]
            table.add_column(f"{facts['title']} {facts['unit']}{arrow}", justify="right")
        for name in self.systems:
            cells = [name]
            for column in columns:
                found, digits = self.data["summary"][name][column], self.columns[column]["digits"]
                cell = number(found["mean"], digits)
                if found["low"] is not None:
                    cell += f"\n{number(found['low'], digits)}..{number(found['high'], digits)}"
                if found["failed"]:
                    cell += f"\n{found['failed']} failed"
                cells.append(cell)
            table.add_row(*map(Text, cells))
        return table

    @property
    def absent(self) -> list[tuple[str, str]]:
        """Systems that did not run with their reasons, the rates of a family put together."""
        found: dict[tuple[str, str], list[str]] = {}
        for facts in self.data["systems"].values():
            if facts["absent"]:
                rate = f"{facts['kbps']:g}" if facts["kbps"] else ""
                found.setdefault((facts["family"], facts["absent"]), []).append(rate)
        return [
            (f"{family} {', '.join(rates)}".strip(), reason)
            for (family, reason), rates in found.items()
        ]

    def cells(self, system: str, column: str) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values and weights (clips,) of one column, NaN where there is none.

        Of no clip, if the column says nothing about the system.
        """
        rows = self.data["rows"][system]
        found = [row["cells"][column] for row in rows if column in row["cells"]]
        values = [math.nan if cell["value"] is None else cell["value"] for cell in found]
        return np.array(values, float), np.array([cell.get("weight", 1.0) for cell in found])

    def mean(self, system: str, column: str) -> Interval:
        """Mean of a column over the clips; its interval is over speakers where they are known."""
        values, weights = self.cells(system, column)
        clusters = self.clusters(values)
        if self.columns[column].get("share"):
            return statistics.share(values, clusters)
        return statistics.mean(values, weights, clusters)

    def summarise(self) -> None:
        """Fill in ``summary`` from the rows."""
        self.data["summary"] = {
            system: {column: self._summary(system, column) for column in self.columns}
            for system in self.systems
        }

    def _summary(self, system: str, column: str) -> dict[str, Any]:
        found = self.mean(system, column)
        cells = [row["cells"].get(column, {}) for row in self.data["rows"][system]]
        reasons = Counter(cell["reason"] for cell in cells if "reason" in cell)
        return stated(found, dict(reasons.most_common()))

    def difference(self, system: str, baseline: str, column: str) -> Interval:
        """Mean of ``system`` minus mean of ``baseline`` on the clips that both have."""
        values, weights = self.cells(system, column)
        others, other_weights = self.cells(baseline, column)
        clusters = self.clusters(values)
        return statistics.difference(values, others, weights, other_weights, clusters)


def assemble(plan: Plan, rows: list[ResultRow], speeds: dict[Spec, dict[str, Any]]) -> Results:
    """Put a finished suite together. ``speeds`` is what ``runtime.measure`` found."""
    shown = columns(plan)
    by_system: dict[Spec, list[ResultRow]] = {spec: [] for spec in plan.present}
    for row in rows:
        by_system[row.spec].append(row)
    facts = {
        spec.name: _facts(spec, made, speeds.get(spec, {}), by_system.get(spec, []))
        for spec, made in plan.systems.items()
    }
    results = Results(
        {
            "format": FORMAT,
            "title": plan.config.title,
            "about": plan.config.about,
            **provenance(),
            "config": asdict(plan.config),
            "recognisers": {
                who.name: made if isinstance(made, str) else made.about
                for who, made in plan.listeners.items()
            },
            "columns": {name: column.facts for name, column in shown.items()},
            "clips": [
                {"id": c.id, "seconds": c.seconds, "text": c.text, "speaker": c.speaker}
                for c in plan.clips
            ],
            "systems": facts,
            "rows": {
                spec.name: [_row(row, plan, shown) for row in found]
                for spec, found in by_system.items()
            },
        }
    )
    results.summarise()
    return results


def provenance() -> dict[str, Any]:
    """When, where and with what results came to be."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "speechlm": speechlm.__version__,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "machine": _machine(),
    }


def read(path: Path, kind: str) -> dict[str, Any]:
    """A JSON file of results whose ``format`` is ``kind``.

    Raises:
        SpeechLMError: when the file is missing or is something else.
    """
    try:
        data: Any = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SpeechLMError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise SpeechLMError(f"{path}: is not JSON") from None
    if not isinstance(data, dict) or data.get("format") != kind:
        raise SpeechLMError(f"{path}: is not a results.json of this version of speechlm eval")
    return data


def write(path: Path, data: dict[str, Any]) -> None:
    """Write results as JSON, which holds no NaN."""
    with atomic_path(path) as temporary:
        text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", "utf-8")


def plain(value: float | None) -> float | None:
    """``value`` as JSON holds it: null for NaN, seven digits for the rest."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.7g}")


def _row(row: ResultRow, plan: Plan, shown: dict[str, Column]) -> dict[str, Any]:
    outcome = row.outcome
    scores = cells(row.outcome, row.clip, row.spec, plan)
    return {
        "payload_bits": outcome.coded.payload_bits if outcome.coded else None,
        "file_bytes": outcome.coded.file_bytes if outcome.coded else None,
        "note": outcome.coded.note if outcome.coded else "",
        "error": outcome.error,
        "texts": outcome.texts,
        "cells": {name: cell(scores[name]) for name in shown},
    }


def stated(found: Interval, reasons: dict[str, int]) -> dict[str, Any]:
    """A mean as a summary holds it; ``reasons`` are why items failed, and how many for each."""
    return {
        "mean": plain(found.mean),
        "low": plain(found.low),
        "high": plain(found.high),
        "n": found.n,
        "failed": found.failed,
        "speakers": found.clusters,
        "reasons": reasons,
    }


def cell(score: Score) -> dict[str, Any]:
    """A score as JSON holds it."""
    return (
        {"value": plain(score.value)}
        | ({"reason": score.reason} if score.reason else {})
        | ({"weight": score.weight} if score.weight != 1 else {})
    )


def _facts(
    spec: Spec, made: System | str, speed: dict[str, Any], rows: list[ResultRow]
) -> dict[str, Any]:
    facts: dict[str, Any] = {"family": spec.family, "kind": spec.kind, "kbps": spec.kbps}
    if isinstance(made, str):
        return facts | {"absent": made}
    coded = [row.outcome.coded for row in rows if row.outcome.coded]
    seconds = sum(each.seconds for each in coded) or math.nan
    return facts | {
        "absent": "",
        "payload_kbps": plain(sum(each.payload_bits for each in coded) / seconds / 1000),
        "file_kbps": plain(sum(8 * each.file_bytes for each in coded) / seconds / 1000),
        "about": made.about,
        "compared": made.compared,
        "sample_rate": made.sample_rate,
        "latency_ms": None if made.latency is None else plain(1000 * made.latency),
        "tokens_per_second": made.tokens_per_second,
        "codebooks": usage((row.audio for row in rows), made.codebook_size),
        "speed": speed,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    processor = platform.processor()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        processor = names[0] if names else processor
    except OSError:  # not Linux
        pass
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }
