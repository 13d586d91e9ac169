"""Results as the page's template wants them: texts, charts, cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from speechlm.evaluation.format import NONE, number, signed, verdict
from speechlm.evaluation.results import Results
from speechlm.report.charts import Point, Series, chart, marker


def context(results: Results) -> dict[str, Any]:
    """Everything but the clips."""
    data = results.data
    families = list(
        dict.fromkeys(
            data["systems"][name]["family"]
            for name in results.systems
            if not _is_original(data, name)
        )
    )
    seconds = sum(clip["seconds"] for clip in data["clips"])
    return {
        "data": data,
        "minutes": f"{seconds / 60:.1f}",
        "speakers": len(set(results.speakers or [])),
        "columns": data["columns"],
        "legend": [(name, marker(index)) for index, name in enumerate(families)],
        "charts": list(_charts(results, families)),
        "rows": [table_row(results, name) for name in results.systems],
        "absent": results.absent,
        "differences": _differences(results),
        "speeds": [_speed(name, data["systems"][name]) for name in results.systems],
        "codebooks": [
            (name, data["systems"][name]["codebooks"])
            for name in results.systems
            if data["systems"][name]["codebooks"]
        ],
        "missing": list(missing(results)),
    }


def _is_original(data: dict[str, Any], name: str) -> bool:
    return bool(data["systems"][name]["kind"] == "original")


def _charts(results: Results, families: list[str]) -> Any:
    data = results.data
    for column, facts in results.columns.items():
        if facts["better"] is None or column == "kbps":
            continue
        series = {name: Series(name, index) for index, name in enumerate(families)}
        level = None
        for name in results.systems:
            found = data["summary"][name][column]
            if found["mean"] is None:
                continue
            low, high = (math.nan if found[end] is None else found[end] for end in ("low", "high"))
            rate = data["summary"][name]["kbps"]["mean"]
            point = Point(name, rate, found["mean"], low, high)
            if _is_original(data, name):
                level = point
            else:
                series[data["systems"][name]["family"]].points.append(point)
        drawn = [each for each in series.values() if each.points]
        for each in drawn:
            each.points.sort(key=lambda point: point.kbps)
        if drawn:
            picture = chart(facts["title"], facts["unit"], facts["digits"], drawn, level)
            yield {"column": column, **facts, "svg": picture}


def table_row(results: Results, name: str) -> dict[str, Any]:
    """A system's means as the table shows them."""
    facts = results.data["systems"][name]
    row: dict[str, Any] = {"name": name, "about": facts["about"], "cells": {}}
    for column, shown in results.columns.items():
        found = results.data["summary"][name][column]
        digits = shown["digits"]
        row["cells"][column] = {
            "sort": "" if found["mean"] is None else found["mean"],
            "mean": number(found["mean"], digits),
            "interval": _interval(found["low"], found["high"], digits),
            "n": found["n"],
            "failed": found["failed"],
            "reasons": "; ".join(f"{n} clips: {reason}" for reason, n in found["reasons"].items()),
        }
    return row


def _interval(low: float | None, high: float | None, digits: int) -> str:
    if low is None or high is None:
        return ""
    return f"{number(low, digits)} to {number(high, digits)}"


def _differences(results: Results) -> dict[str, dict[str, dict[str, list[Any]]]]:
    """By baseline, system and column: text, interval, n, and whether it is better or worse."""
    found: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for baseline, name in product(results.systems, results.systems):
        if baseline == name:
            continue
        cells = found.setdefault(baseline, {}).setdefault(name, {})
        for column, facts in results.columns.items():
            change = results.difference(name, baseline, column)
            if not math.isfinite(change.mean):
                continue
            digits = facts["digits"]
            interval = ""
            if math.isfinite(change.low):
                interval = f"{signed(change.low, digits)} to {signed(change.high, digits)}"
            cells[column] = [
                signed(change.mean, digits), interval, change.n, verdict(change, facts["better"])
            ]  # fmt: skip
    return found


def _speed(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    speed = facts["speed"]
    row = {
        "name": name,
        "about": facts["about"],
        "compared": facts["compared"],
        "asked": f"{facts['kbps']:g}" if facts["kbps"] else NONE,
        "payload": number(facts["payload_kbps"], 2),
        "file": number(facts["file_kbps"], 2),
        "latency": number(facts["latency_ms"], 1)
        if facts["latency_ms"] is not None
        else "not stated",
        "tokens": f"{facts['tokens_per_second']:g}" if facts["tokens_per_second"] else NONE,
        "failed": speed.get("failed", ""),
        "threads": speed.get("threads", NONE),
        "encode": _factor(speed.get("encode_rtf")),
        "decode": _factor(speed.get("decode_rtf")),
        "streaming": NONE,
    }
    if "streaming" in speed:
        codes, wave = speed["streaming"]["codes"], speed["streaming"]["wave"]
        row["streaming"] = f"{100 * codes:g} % of codes, {wave:.1e} of full scale"
    return row


def _factor(found: dict[str, Any] | None) -> dict[str, str]:
    if found is None:
        return {"median": NONE, "spread": "", "sort": ""}
    return {
        "median": f"{found['median']:.4f}",
        "spread": f"{found['low']:.4f} to {found['high']:.4f}, n={found['n']}",
        "sort": found["median"],
    }


def missing(results: Results) -> Iterator[dict[str, Any]]:
    """The numbers that there are not, by system, metric and reason."""
    for name in results.systems:
        for column, facts in results.columns.items():
            found = results.data["summary"][name][column]
            for reason, count in found["reasons"].items():
                yield {"system": name, "metric": facts["title"], "count": count, "reason": reason}
