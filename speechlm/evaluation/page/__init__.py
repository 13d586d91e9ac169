"""The page of a suite: one HTML file that opens from disk and asks for nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from speechlm.evaluation.config import PageConfig
from speechlm.evaluation.format import number
from speechlm.evaluation.page.cards import Shown, laid_out
from speechlm.evaluation.page.gallery import Gallery, chosen
from speechlm.evaluation.page.media import Shelf
from speechlm.evaluation.page.view import context
from speechlm.evaluation.results import ResultRow, Results
from speechlm.utils.files import atomic_path

SOUNDS = {"flac": "lossless FLAC", "opus": "Opus at about 64 kbit/s", "mp3": "MP3 at 64 kbit/s"}


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
        "report.html.j2",
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


def render(template: str, shown: dict[str, Any], **more: Any) -> str:
    """A page with the style and the script in it."""
    environment = Environment(
        loader=PackageLoader("speechlm.evaluation.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    here = files("speechlm.evaluation.page")
    return environment.get_template(template).render(
        shown,
        style=Markup((here / "style.css").read_text("utf-8")),
        script=Markup((here / "script.js").read_text("utf-8")),
        **more,
    )
