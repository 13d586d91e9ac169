"""``speechlm probe``: tokenizers side by side."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from speechlm import audio, declaration
from speechlm.data import speech
from speechlm.data.speech import Speech
from speechlm.errors import SpeechLMError
from speechlm.evaluation.probe import abx, labels
from speechlm.evaluation.probe.config import PhonesConfig, ProbeConfig, SpeakersConfig
from speechlm.evaluation.probe.information import entropy, jackknife, joint_counts, told
from speechlm.evaluation.statistics import Interval
from speechlm.files import atomic_path
from speechlm.processes import progress
from speechlm.units.base import UnitTokenizer
from speechlm.units.forms import runs
from speechlm.units.load import load

T = TypeVar("T")
Figures = dict[str, Interval]

COLUMNS = {
    "kinds": ("kinds", 0),
    "frame_rate": ("frames/s", 0),
    "rate": ("units/s", 1),
    "entropy": ("bits/frame", 2),
    "bitrate": ("bits/s", 0),
    "phones": ("of phones, %", 1),
    "abx": ("ABX error, %", 1),
    "speakers": ("of speakers, %", 1),
}
"""Figures, their titles and digits.

Units a second are without repetition, bits a second their number times the entropy of one. The
shares are of what is in doubt of a frame's phone, and of its speaker, that the unit tells.
"""
PERCENT = ("phones", "abx", "speakers")


def run(config: Path, overrides: list[str], out: Path) -> Table:
    """Probe what the file ``config`` declares; write ``out`` (JSON), give the table.

    Raises:
        SpeechLMError: for a declaration, tokenizer or corpus that cannot be used.
    """
    declared = declaration.fill(ProbeConfig, declaration.read(config, overrides), config)
    subjects = {name: each for name, each in declared.tokenizers.items() if each is not None}
    if not subjects:
        raise SpeechLMError(f"{config}: no tokenizer to probe; add one under tokenizers")
    if min(declared.phones.utterances, declared.phones.triples) < 1:
        raise SpeechLMError(f"{config}: phones.utterances and phones.triples are 1 or more")
    if declared.speakers.speakers < 2:
        raise SpeechLMError(f"{config}: speakers.speakers is 2 or more")
    loaded = {name: load(each.model, 1, framed=True) for name, each in subjects.items()}
    spoken = with_phones(declared.phones)
    speakers = _with_speakers(declared.speakers)
    found: dict[str, Figures] = {}
    with progress("probing", len(loaded)) as advance:
        for name, tokenizer in loaded.items():
            found[name] = probe(tokenizer, declared.phones, spoken, speakers)
            advance(name)
    report = {
        "phones": asdict(declared.phones),
        "speakers": asdict(declared.speakers),
        "tokenizers": {
            name: {key: _plain(value) for key, value in figures.items()}
            for name, figures in found.items()
        },
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as path:
        path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return table(found)


def with_phones(config: PhonesConfig) -> list[tuple[Speech, list[labels.Phone]]]:
    """The utterances that have labels, evenly chosen.

    Raises:
        SpeechLMError: when none has, or nothing but silence.
    """
    folder = Path(config.labels)
    found = [
        (utterance, path)
        for utterance in speech.find(config.corpus)
        if (path := labels.find(folder, utterance.id)) is not None
    ]
    if not found:
        raise SpeechLMError(f"phones.labels: {folder} has no label file of {config.corpus}")
    spoken = [(one, labels.read(path)) for one, path in _spread(found, config.utterances)]
    if all(phone.name in config.silence for _, phones in spoken for phone in phones):
        raise SpeechLMError(f"phones.labels: {folder} has no phones but those of phones.silence")
    return spoken


def _with_speakers(config: SpeakersConfig) -> list[Speech]:
    known = [one for one in speech.find(config.corpus) if one.speaker is not None]
    chosen = _spread(sorted({one.speaker or "" for one in known}), config.speakers)
    if len(chosen) < 2:
        raise SpeechLMError(f"speakers.corpus: {config.corpus} has not two speakers with names")
    return [one for one in known if one.speaker in chosen]


def probe(
    tokenizer: UnitTokenizer,
    config: PhonesConfig,
    spoken: Sequence[tuple[Speech, list[labels.Phone]]],
    speakers: Sequence[Speech],
) -> Figures:
    """The figures of one tokenizer (its level 0)."""
    kinds, rate = tokenizer.units.cardinality, tokenizer.units.frame_rate
    names = sorted({phone.name for _, phones in spoken for phone in phones} - {*config.silence})
    numbers = {name: number for number, name in enumerate(names)}
    joint, counts, tokens = [], [], defaultdict(list)
    for utterance, phones in spoken:
        units = _encode(tokenizer, utterance)
        heard = labels.of_frames(phones, len(units), rate)
        # The last is for frames after the last phone.
        which = np.array([*(numbers.get(phone.name, -1) for phone in phones), -1], np.int64)[heard]
        said = which >= 0
        joint.append(joint_counts(units[said], which[said], (kinds, len(names))))
        counts.append(_counted(units, kinds))
        for phone in phones:
            token = labels.during(phone, units, rate)
            # To the tenth of a millisecond: times are differences of decimals.
            lasts = round(phone.end - phone.start, 4)
            if phone.name in numbers and lasts >= config.shortest and len(token):
                tokens[phone.name].append(token)
    people = sorted({one.speaker or "" for one in speakers})
    voices = []
    for one in speakers:
        units = _encode(tokenizer, one)
        person = np.full(len(units), people.index(one.speaker or ""))
        voices.append(joint_counts(units, person, (kinds, len(people))))
    counted = np.stack(counts)
    return {
        "kinds": _fact(kinds),
        "frame_rate": _fact(rate),
        "rate": jackknife(counted, lambda c: float(c[2 * kinds] / c[2 * kinds + 1] * rate)),
        "entropy": jackknife(counted, lambda c: entropy(c[:kinds])),
        "bitrate": jackknife(
            counted,
            lambda c: entropy(c[kinds : 2 * kinds]) * float(c[2 * kinds] / c[-1]) * rate,
        ),
        "phones": told(np.stack(joint)),
        "abx": abx.error(tokens, config.triples),
        "speakers": told(np.stack(voices)),
    }


def table(found: dict[str, Figures]) -> Table:
    """A row for each tokenizer."""
    made = Table("tokenizer", *(title for title, _ in COLUMNS.values()))
    for name, figures in found.items():
        cells = []
        for key, (_, digits) in COLUMNS.items():
            scale = 100 if key in PERCENT else 1
            value, low, high = (
                f"{scale * each:.{digits}f}"
                for each in (figures[key].mean, figures[key].low, figures[key].high)
            )
            known = math.isfinite(figures[key].low)
            cells.append(f"{value} ({low} to {high}), n={figures[key].n}" if known else value)
        made.add_row(name, *cells)
    return made


def _encode(tokenizer: UnitTokenizer, utterance: Speech) -> NDArray[np.int64]:
    wave, rate = utterance.load()
    whole = audio.resample(wave, rate, tokenizer.units.sample_rate)
    found: NDArray[np.int64] = tokenizer.encode(torch.from_numpy(whole)[None])[0, 0].cpu().numpy()
    return found


def _counted(units: NDArray[np.int64], kinds: int) -> NDArray[np.int64]:
    """Of frames and of runs, how many of each unit; then runs and frames in all."""
    kept, _ = runs(units)
    every = [np.bincount(each, minlength=kinds) for each in (units, kept)]
    return np.concatenate([*every, [len(kept), len(units)]])


def _spread(items: Sequence[T], number: int) -> list[T]:
    chosen = np.linspace(0, len(items) - 1, min(number, len(items))).round().astype(int)
    return [items[index] for index in chosen.tolist()]


def _fact(value: float) -> Interval:
    return Interval(float(value), math.nan, math.nan, 1, 0)


def _plain(interval: Interval) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {k: v if math.isfinite(v) else None for k, v in asdict(interval).items()}
