"""The page of a language model's suite: its tables, and what it said, wrote and went on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from speechlm.evaluation.config import PageConfig
from speechlm.evaluation.format import extent
from speechlm.evaluation.lm.results import LMResults
from speechlm.report.assets import Shelf
from speechlm.report.render import SOUNDS, render
from speechlm.report.samples import Shown, laid_out
from speechlm.report.tables import missing, table_row
from speechlm.utils.files import atomic_path


def write(
    results: LMResults, shown: dict[str, list[Shown]], rate: int, config: PageConfig, out: Path
) -> Path:
    """Write ``out/report.html`` from a finished suite, with some of what there is to hear.

    ``shown`` are items by section, with sound at ``rate`` Hz. A section that has too many to fit
    shows fewer, evenly spread.
    """
    shelf = Shelf(None if config.inline else out / "report-files")
    room = config.limit_mb * 1e6 if config.inline else float("inf")
    count = config.clips
    for kind in ("flac", "opus") if config.audio == "auto" else (config.audio,):
        views = {name: _views(items, count, kind, shelf, rate) for name, items in shown.items()}
        if _size(views) <= room:
            break
    while count and _size(views) > room:
        count = min(count - 1, int(count * room / _size(views)))
        views = {name: _views(items, count, kind, shelf, rate) for name, items in shown.items()}
    sections = [
        {
            "name": name.replace(" ", "-"),
            "title": found.data["title"],
            "about": found.data["about"],
            "extent": extent(len(found.data["clips"]), found.number_of_speakers, "items"),
            "columns": found.columns,
            "rows": [table_row(found, system) for system in found.systems],
            "missing": list(missing(found)),
            "shown": views[name],
            "hidden": len(shown[name]) - len(views[name]),
        }
        for name, found in results.sections.items()
    ]
    html = render(
        "lm.html.j2",
        {"data": results.data, "sections": sections, "goals": list(results.goals())},
        sound=SOUNDS[kind],
    )
    with atomic_path(out / "report.html") as path:
        path.write_text(html, "utf-8")
    return out / "report.html"


def _views(
    items: list[Shown], count: int, kind: str, shelf: Shelf, rate: int
) -> list[dict[str, Any]]:
    count = min(count, len(items))
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [laid_out(shelf, kind, items[place], rate) for place in places]


def _size(views: dict[str, list[dict[str, Any]]]) -> int:
    cards = [card for items in views.values() for item in items for card in item["cards"]]
    return sum(len(card["audio"]) + len(card["picture"]) for card in cards)
