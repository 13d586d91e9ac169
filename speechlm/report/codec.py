"""The page of a suite: one HTML file that opens from disk and asks for nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from speechlm.evaluation.config import PageConfig
from speechlm.evaluation.results import ResultRow, Results
from speechlm.report.assets import Shelf
from speechlm.report.clips import Gallery, chosen
from speechlm.report.render import SOUNDS, render
from speechlm.report.samples import Shown, laid_out
from speechlm.report.tables import context
from speechlm.utils.files import atomic_path


def write(
    results: Results,
    rows: list[ResultRow],
    config: PageConfig,
    out: Path,
    spoken: Sequence[Shown] = (),
) -> Path:
    """Write ``out/report.html`` from a finished suite, with sound and pictures of some clips.

    ``spoken`` is what a language model said, at the suite's rate.
    """
    rate: int = results.data["config"]["sample_rate"]
    shelf = Shelf(None if config.inline else out / "report-files")
    room = config.limit_mb * 1e6 if config.inline else float("inf")
    selected = chosen(rows, config.clips)
    for kind in ("flac", "opus") if config.audio == "auto" else (config.audio,):
        clips = Gallery(results, kind, shelf).filled(selected, room)
        if len(clips) == len(selected):
            break
    shown = context(results)
    html = render(
        "codec.html.j2",
        shown,
        # "<" would end the script element that holds the data.
        changes=Markup(json.dumps(shown["differences"]).replace("<", "\\u003c")),
        clips=clips,
        left_out=len(selected) - len(clips),
        sound=SOUNDS[kind],
        spoken=[laid_out(shelf, kind, each, rate) for each in spoken],
    )
    with atomic_path(out / "report.html") as path:
        path.write_text(html, "utf-8")
    return out / "report.html"
