"""The page of a suite of codecs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from speechlm.evaluation.samples import ItemSamples
from speechlm.evaluation.suite import CodecRun
from speechlm.report.assets import AssetStore
from speechlm.report.clips import Gallery, chosen
from speechlm.report.render import SOUNDS, render
from speechlm.report.samples import sample_view
from speechlm.report.tables import context
from speechlm.utils.files import atomic_path


def write(run: CodecRun, out: Path, lm_samples: Sequence[ItemSamples] = ()) -> Path:
    """Write ``out/report.html`` of a finished suite, with audio and spectrograms of some clips.

    ``lm_samples`` are the output of a language model, at the suite's rate.
    """
    results, config = run.results, run.page
    rate: int = results.data["config"]["sample_rate"]
    store = AssetStore(None if config.inline else out / "report-files")
    room = config.limit_mb * 1e6 if config.inline else float("inf")
    selected = chosen(run.rows, config.clips)
    for kind in ("flac", "opus") if config.audio == "auto" else (config.audio,):
        clips = Gallery(results, kind, store).filled(selected, room)
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
        spoken=[sample_view(store, kind, each, rate) for each in lm_samples],
    )
    with atomic_path(out / "report.html") as path:
        path.write_text(html, "utf-8")
    return out / "report.html"
