"""The page of a suite of a language model or a vocoder: tables, audio and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from speechlm.evaluation.format import extent
from speechlm.evaluation.lm.section_run import SectionRun
from speechlm.evaluation.samples import ItemSamples
from speechlm.report.assets import AssetStore
from speechlm.report.render import SOUNDS, render
from speechlm.report.samples import sample_view
from speechlm.report.tables import missing, table_row
from speechlm.utils.files import atomic_path


def write(run: SectionRun, out: Path) -> Path:
    """Write ``out/report.html`` of a finished suite, with audio and texts of some items.

    A section that has more items than fit shows fewer, evenly spread.
    """
    results, shown, rate, config = run.results, run.samples, run.sample_rate, run.page
    store = AssetStore(None if config.inline else out / "report-files")
    room = config.limit_mb * 1e6 if config.inline else float("inf")
    count = config.clips
    for kind in ("flac", "opus") if config.audio == "auto" else (config.audio,):
        views = {name: _views(items, count, kind, store, rate) for name, items in shown.items()}
        if _size(views) <= room:
            break
    while count and _size(views) > room:
        count = min(count - 1, int(count * room / _size(views)))
        views = {name: _views(items, count, kind, store, rate) for name, items in shown.items()}
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
    items: list[ItemSamples], count: int, kind: str, store: AssetStore, rate: int
) -> list[dict[str, Any]]:
    count = min(count, len(items))
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [sample_view(store, kind, items[place], rate) for place in places]


def _size(views: dict[str, list[dict[str, Any]]]) -> int:
    cards = [card for items in views.values() for item in items for card in item["cards"]]
    return sum(len(card["audio"]) + len(card["picture"]) for card in cards)
