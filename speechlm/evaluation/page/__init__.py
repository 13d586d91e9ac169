"""The page of a suite: one HTML file that opens from disk and asks for nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from speechlm.evaluation.clips import Clip
from speechlm.evaluation.config import PageConfig
from speechlm.evaluation.metrics.base import Wave
from speechlm.evaluation.page.media import FORMATS, Shelf, encoded, loudest, spectrogram
from speechlm.evaluation.page.view import context
from speechlm.evaluation.results import Results, Row
from speechlm.evaluation.wording import number
from speechlm.files import atomic_path

BASE64 = 4 / 3  # bytes a byte in a data URI
SOUNDS = {"flac": "lossless FLAC", "opus": "Opus at about 64 kbit/s", "mp3": "MP3 at 64 kbit/s"}


def write(results: Results, rows: list[Row], config: PageConfig, out: Path) -> Path:
    """Write ``out/report.html`` from a finished suite, with sound and pictures of some clips."""
    rate = results.data["config"]["sample_rate"]
    chosen = _chosen(rows, config.clips)
    kind = config.audio
    if kind == "auto":
        kind = "flac" if _lossless_megabytes(chosen, rate) < config.limit_mb else "opus"
    shelf = Shelf(None if config.inline else out / "report-files")
    clips = []
    left = config.limit_mb * 1e6 if config.inline else float("inf")
    for clip, clip_rows in chosen.items():
        view = _clip(results, clip, clip_rows, rate, kind, shelf)
        left -= sum(len(card["audio"]) + len(card["picture"]) for card in view["cards"])
        if left < 0:
            break
        clips.append(view)
    environment = Environment(
        loader=PackageLoader("speechlm.evaluation.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    here = files("speechlm.evaluation.page")
    shown = context(results)
    html = environment.get_template("report.html.j2").render(
        shown,
        style=Markup((here / "style.css").read_text("utf-8")),
        script=Markup((here / "script.js").read_text("utf-8")),
        # "<" would end the script element that holds the data.
        changes=Markup(json.dumps(shown["differences"]).replace("<", "\\u003c")),
        clips=clips,
        left_out=len(chosen) - len(clips),
        sound=SOUNDS[kind],
    )
    with atomic_path(out / "report.html") as path:
        path.write_text(html, "utf-8")
    return out / "report.html"


def _chosen(rows: list[Row], count: int) -> dict[Clip, list[Row]]:
    """The rows of ``count`` clips, evenly spread over the suite's."""
    by_clip: dict[Clip, list[Row]] = {}
    for row in rows:
        by_clip.setdefault(row.clip, []).append(row)
    clips = list(by_clip)
    if count < len(clips):
        indices = np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))
        clips = [clips[index] for index in indices]
    return {clip: by_clip[clip] for clip in clips}


def _lossless_megabytes(chosen: dict[Clip, list[Row]], rate: int) -> float:
    files = (row.audio for rows in chosen.values() for row in rows if row.outcome.coded)
    coded = sum(path.stat().st_size for path in files)
    originals = sum(len(encoded(clip.read(rate), rate, "flac")) for clip in chosen)
    return (coded + originals) * BASE64 / 1e6


def _clip(
    results: Results, clip: Clip, rows: list[Row], rate: int, kind: str, shelf: Shelf
) -> dict[str, Any]:
    reference = clip.read(rate)
    peak = loudest(reference, rate)
    position = next(
        index for index, each in enumerate(results.data["clips"]) if each["id"] == clip.id
    )
    return {
        "id": clip.id,
        "seconds": f"{clip.seconds:.1f}",
        "text": clip.text,
        "speaker": clip.speaker,
        "cards": list(_cards(results, position, reference, rows, rate, peak, kind, shelf)),
    }


def _cards(
    results: Results,
    position: int,
    reference: Wave,
    rows: list[Row],
    rate: int,
    peak: float,
    kind: str,
    shelf: Shelf,
) -> Iterator[dict[str, Any]]:
    """What is heard and seen of a clip: the original first, then every system of the suite."""

    def card(name: str, wave: Wave | None, row: dict[str, Any] | None) -> dict[str, Any]:
        stem = f"{position:04d}-{name.replace(' ', '-').replace('/', '-')}"
        mime, suffix = FORMATS[kind]
        made: dict[str, Any] = {"name": name, "row": row, "audio": "", "picture": ""}
        if wave is not None:
            sound, picture = encoded(wave, rate, kind), spectrogram(wave, rate, peak)
            made["audio"] = shelf.place(stem + suffix, mime, sound)
            made["picture"] = shelf.place(stem + ".png", "image/png", picture)
        return made

    if all(row.spec.kind != "original" for row in rows):
        yield card("original", reference, None)
    for row in sorted(rows, key=lambda row: row.spec.kind != "original"):
        wave = None
        if row.outcome.coded is not None:
            wave, _ = soundfile.read(row.audio, dtype="float32")
        yield card(row.spec.name, wave, results.data["rows"][row.spec.name][position])
