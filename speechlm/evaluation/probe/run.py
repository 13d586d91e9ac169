"""``speechlm probe``: tokenizers, or layers of a teacher, side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Group
from rich.table import Table

from speechlm.config import load_yaml, to_dataclass
from speechlm.data import speech
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation.probe import labels, layers
from speechlm.evaluation.probe.config import LabelsConfig, ProbeConfig, SpeakersConfig
from speechlm.evaluation.probe.layers import LayerChoice
from speechlm.evaluation.probe.metrics import Material, ProbeResult, probe
from speechlm.evaluation.probe.tokenizers import probed_tokenizer
from speechlm.evaluation.statistics import Interval
from speechlm.tokenizers.load import load
from speechlm.utils.files import atomic_path
from speechlm.utils.processes import progress

FACTS = {
    "kinds": ("kinds", 0),
    "frame_rate": ("frames/s", 0),
    "rate": ("units/s", 1),
    "entropy": ("bits/frame", 2),
    "bitrate": ("bits/s", 0),
}
"""Figures, their titles and digits. Units a second are without repetition, bits a second their
number times the entropy of one."""


def run(config: Path, overrides: list[str], out: Path) -> Group:
    """Probe what the file ``config`` declares; write ``out`` (JSON), give the tables.

    Raises:
        SpeechLMError: for a declaration, tokenizer, teacher or corpus that cannot be used.
    """
    declared = to_dataclass(ProbeConfig, load_yaml(config, overrides), config)
    tokenizers = {name: each for name, each in declared.tokenizers.items() if each is not None}
    known = {name: each for name, each in declared.labels.items() if each is not None}
    _check(declared, known, config)
    if not tokenizers and declared.layers is None:
        raise SpeechLMError(f"{config}: no tokenizer to probe; add one under tokenizers")
    found: dict[str, ProbeResult] = {}
    every = [
        probed_tokenizer(name, load(each.model, 1, framed=True))
        for name, each in tokenizers.items()
    ]
    material = _material(known, declared.speakers)
    if declared.layers is not None:
        every.append(layers.subject(declared.layers))
    with progress("probing", len(every)) as advance:
        for subject in every:
            found |= probe(subject, material)
            advance(subject.names[0])
    choice = None
    if declared.layers is not None:
        choice = layers.choose({name: found[name] for name in every[-1].names}, declared.layers.by)
    report = asdict(declared) | {
        "labels": {name: asdict(each) for name, each in known.items()},
        "tokenizers": {name: _plain(each.figures) for name, each in found.items()},
        "best": choice and {"name": choice.name, "behind": _plain(choice.behind)},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as path:
        path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return tables(found, known, choice)


def _check(declared: ProbeConfig, known: dict[str, LabelsConfig], path: Path) -> None:
    if not known:
        raise SpeechLMError(f"{path}: no labels to tell of; add some under labels")
    for name, each in known.items():
        if min(each.utterances, each.triples) < 1 or each.most < 2:
            raise SpeechLMError(
                f"{path}: labels.{name}.utterances and .triples are 1 or more, .most is 2 or more"
            )
    if declared.speakers.speakers < 2:
        raise SpeechLMError(f"{path}: speakers.speakers is 2 or more")
    if declared.layers is not None:
        layers.check(declared.layers)
        if declared.layers.by not in known:
            raise SpeechLMError(f"{path}: layers.by is one of labels, not {declared.layers.by}")


def _material(known: dict[str, LabelsConfig], people: SpeakersConfig) -> Material:
    found = {name: (each, labels.find(each, f"labels.{name}")) for name, each in known.items()}
    return Material(found, people.corpus, _with_speakers(people))


def _with_speakers(config: SpeakersConfig) -> list[Utterance]:
    known = [one for one in speech.find(config.corpus) if one.speaker is not None]
    chosen = labels.spread(sorted({one.speaker or "" for one in known}), config.speakers)
    if len(chosen) < 2:
        raise SpeechLMError(f"speakers.corpus: {config.corpus} has not two speakers with names")
    return [one for one in known if one.speaker in chosen]


def tables(
    found: dict[str, ProbeResult], known: Iterable[str], choice: LayerChoice | None
) -> Group:
    """One of the units, one of what they tell; the best layer has a star, and a line.

    What is told is the share of what is in doubt of a frame's label, and of its speaker.
    """
    told: dict[str, tuple[str, int]] = {}
    for name in known:
        told |= {f"told:{name}": (f"of {name}, %", 1), f"abx:{name}": (f"ABX of {name}, %", 1)}
    told["speakers"] = ("of speakers, %", 1)
    named = {
        f"{name} *" if choice and choice.name == name else name: each.figures
        for name, each in found.items()
    }
    made = [_table(named, FACTS, 1), _table(named, told, 100)]
    return Group(*made, *([str(choice)] if choice else []))


def _table(
    found: dict[str, dict[str, Interval]], columns: dict[str, tuple[str, int]], scale: int
) -> Table:
    made = Table("tokenizer", *(title for title, _ in columns.values()))
    for name, figures in found.items():
        cells = (_cell(figures[key], digits, scale) for key, (_, digits) in columns.items())
        made.add_row(name, *cells)
    return made


def _cell(found: Interval, digits: int, scale: int) -> str:
    value, low, high = (
        f"{scale * each:.{digits}f}" for each in (found.mean, found.low, found.high)
    )
    return f"{value}\n{low}..{high}\nn={found.n}" if math.isfinite(found.low) else value


def _plain(figures: dict[str, Interval]) -> dict[str, dict[str, float | None]]:
    """JSON has no NaN."""
    return {
        name: {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(each).items()
        }
        for name, each in figures.items()
    }
