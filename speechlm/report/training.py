"""The page of a training: learning curves, and held-out clips over the steps."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechlm.audio.spectrogram import loudest
from speechlm.report.assets import AssetStore
from speechlm.report.charts import marker
from speechlm.report.curves import Curve, learning_curves
from speechlm.report.render import SOUNDS, render
from speechlm.training.run_log import RunLog
from speechlm.training.validation_clips import MAX_STEPS, ValidationClips
from speechlm.utils.files import atomic_path

SOUND = "flac"
NAMES = {"train": "training", "valid": "validation"}
GROUPS = {
    "Losses": "Each named loss, unweighted, in training (mean of the steps between two lines) and "
    "on held-out data, there by the number of codebooks where it depends on it.",
    "Codebooks": "Fraction of the entries that occur, and perplexity: the number of entries in "
    "effective use, in the mean and of each codebook.",
    "Optimizer": "Learning rate, and the norm of the gradient before it is clipped.",
    "Speed": "Seconds of a step and of its wait for data, and how much data a second takes.",
}

CURVES_NOTE = (
    "Of more lines than fit, neighbours are averaged; the axis is logarithmic where values differ "
    "much. A line or a mark that is pointed at shows its numbers."
)
SUPERSEDED_NOTE = (
    "lines are of steps that were taken again after an interruption (log.superseded.jsonl). They "
    "are not drawn."
)


def write(run: Path, out: Path) -> Path:
    """Write the page of the run folder ``run`` to ``out``: one file, with all that it shows.

    Raises:
        SpeechLMError: where ``run`` is no run folder or has no entry in its log yet.
    """
    log = RunLog.read(run)
    clips = _clips(ValidationClips(run))
    valid = list(log.lines["valid"].items())
    losses = {step: values["loss"] for step, values in valid if _is_finite(values, "loss")}
    best = min(losses, key=lambda step: losses[step]) if losses else None
    facts = [f"{log.last_step} steps", _duration(log.seconds()), f"{len(valid)} validations"]
    if best is not None:
        facts.append(f"lowest validation loss {losses[best]:.4f} at step {best}")
    html = render(
        "training.html.j2",
        {"data": {"title": f"Training of {run.resolve().name}"}},
        facts=facts,
        groups=_groups(log),
        columns=list(dict.fromkeys(name for _, values in valid for name in values)),
        validations=valid,
        best=best,
        clips=clips,
        sound=SOUNDS[SOUND],
        notes=_notes(log, bool(clips)),
    )
    with atomic_path(out) as path:
        path.write_text(html, "utf-8")
    return out


def _is_finite(values: dict[str, float], name: str) -> bool:
    return math.isfinite(values.get(name, math.nan))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02} hours of steps"


def _groups(log: RunLog) -> list[dict[str, Any]]:
    """The charts by group, in the order of the log."""
    charts: dict[str, dict[str, list[tuple[str, list[int], list[float]]]]] = {}
    for kind, lines in log.lines.items():
        names = dict.fromkeys(name for values in lines.values() for name in values)
        for name in names:
            # mel@4: with 4 codebooks. codebook_perplexity/2: of the second codebook.
            base, label = name, ""
            if found := re.fullmatch(r"(.+)(?:@(\w+)|/(\d+))", name):
                base, label = found[1], found[2] or f"codebook {found[3]}"
                label = f", {label} codebooks" if label.isdigit() else f", {label}"
            steps = [step for step, values in lines.items() if name in values]
            curve = (f"{NAMES[kind]}{label}", steps, [lines[step][name] for step in steps])
            charts.setdefault(_group(base), {}).setdefault(base, []).append(curve)
    groups = []
    for title, about in GROUPS.items():
        drawn = [_chart(name, curves) for name, curves in charts.get(title, {}).items()]
        if drawn := [chart for chart in drawn if chart["svg"] is not None]:
            groups.append({"id": title.lower(), "title": title, "about": about, "charts": drawn})
    return groups


def _group(name: str) -> str:
    if name.endswith(("_use", "_perplexity")):
        return "Codebooks"
    if name == "rate" or name.endswith("grad_norm"):
        return "Optimizer"
    if name.endswith(("seconds", "_per_second")):
        return "Speed"
    return "Losses"


def _chart(name: str, found: Sequence[tuple[str, list[int], list[float]]]) -> dict[str, Any]:
    curves = [
        Curve(label, index, steps, values) for index, (label, steps, values) in enumerate(found)
    ]
    legend = [(curve.name, marker(curve.index)) for curve in curves]
    return {"name": name, "svg": learning_curves(name, curves), "legend": legend}


def _clips(saved: ValidationClips) -> list[dict[str, Any]]:
    """Each clip as recorded and as each step decodes it, as the template wants it."""
    store = AssetStore(None)
    originals = saved.read(None)
    peaks = {name: loudest(wave, rate) for name, (wave, rate) in originals.items()}
    cards: dict[str, list[dict[str, Any]]] = {}
    for title, waves in [
        ("original", originals),
        *((f"step {step}", saved.read(step)) for step in saved.steps()),
    ]:
        for name, (wave, rate) in waves.items():
            peak = peaks.setdefault(name, loudest(wave, rate))
            media = store.media(name, wave, rate, SOUND, peak)
            card = {"name": title, "texts": {}, "note": "", **media}
            cards.setdefault(name, []).append(card)
    return [{"id": name, "text": None, "cards": each} for name, each in sorted(cards.items())]


def _notes(log: RunLog, has_clips: bool) -> list[tuple[str, str]]:
    kept = f"The run folder keeps those of {MAX_STEPS} validations at most."
    none = "None are saved here: the objective decodes no audio, or no validation was reached."
    notes = [("Curves", CURVES_NOTE), ("Clips", kept if has_clips else none)]
    if log.superseded:
        notes.append(("Superseded", f"{log.superseded} {SUPERSEDED_NOTE}"))
    for name, lines in log.earlier.items():
        notes.append(("Earlier run", f"{name} has {lines} lines, which are not drawn."))
    if log.unreadable:
        notes.append(
            ("Unreadable", f"{log.unreadable} lines of the log are cut off or no entries.")
        )
    return notes
