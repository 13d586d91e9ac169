"""What is found of a subject: figures of its units, of what they tell, and of whom."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechlm.data.utterance import Utterance
from speechlm.evaluation import statistics
from speechlm.evaluation.probe import abx, labels
from speechlm.evaluation.probe.config import LabelsConfig
from speechlm.evaluation.probe.information import (
    entropy,
    jackknife,
    joint_counts,
    uncertainty_coefficients,
)
from speechlm.evaluation.probe.labels import Labelled
from speechlm.evaluation.probe.tokenizers import ProbedTokenizers
from speechlm.evaluation.statistics import Interval
from speechlm.tokenizers.serialization import runs
from speechlm.types import Floats, Ints


@dataclass(frozen=True)
class Material:
    """The recordings: with labels, by the name of these; and of speakers, of the corpus ``people``.

    Utterances of one corpus and id are the same, and heard once.
    """

    labels: Mapping[str, tuple[LabelsConfig, Sequence[Labelled]]]
    people: str
    speakers: Sequence[Utterance]


@dataclass(frozen=True)
class ProbeResult:
    """Figures of one tokenizer by name, and of each labels what ``told`` is the mean of: the share
    that units tell of each utterance (utterances,), and its weight.
    """

    figures: dict[str, Interval]
    told: dict[str, tuple[Floats, Floats]]


def probe(subject: ProbedTokenizers, material: Material) -> dict[str, ProbeResult]:
    """What is found of each of the tokenizers of a subject."""
    heard: dict[tuple[str, str], Ints] = {}

    def units(corpus: str, utterance: Utterance) -> Ints:
        key = corpus, utterance.id
        if key not in heard:
            heard[key] = subject.units(utterance)
        return heard[key]

    said = {
        name: [units(config.corpus, utterance) for utterance, _ in spoken]
        for name, (config, spoken) in material.labels.items()
    }
    voices = [units(material.people, each) for each in material.speakers]
    return {
        name: _found(
            {labels: [each[row] for each in every] for labels, every in said.items()},
            [each[row] for each in voices],
            subject,
            material,
        )
        for row, name in enumerate(subject.names)
    }


def _found(
    said: Mapping[str, Sequence[Ints]],
    voices: Sequence[Ints],
    subject: ProbedTokenizers,
    material: Material,
) -> ProbeResult:
    """Of the units (frames,) of each utterance with labels, and of each with a speaker."""
    kinds, rate = subject.kinds, subject.frame_rate
    counted = np.stack([_counted(each, kinds) for every in said.values() for each in every])
    figures = {
        "kinds": _fact(kinds),
        "frame_rate": _fact(rate),
        "rate": jackknife(counted, lambda c: float(c[2 * kinds] / c[2 * kinds + 1] * rate)),
        "entropy": jackknife(counted, lambda c: entropy(c[:kinds])),
        "bitrate": jackknife(
            counted,
            lambda c: entropy(c[kinds : 2 * kinds]) * float(c[2 * kinds] / c[-1]) * rate,
        ),
    }
    told = {}
    for name, (config, spoken) in material.labels.items():
        told[name] = uncertainty_coefficients(_joint(said[name], spoken, config, subject))
        figures[f"told:{name}"] = statistics.mean(*told[name])
        tokens = _tokens(said[name], spoken, config, rate)
        figures[f"abx:{name}"] = abx.error(tokens, config.triples)
    people = sorted({one.speaker or "" for one in material.speakers})
    pairs = [
        joint_counts(
            each, np.full(len(each), people.index(one.speaker or "")), (kinds, len(people))
        )
        for each, one in zip(voices, material.speakers, strict=True)
    ]
    figures["speakers"] = statistics.mean(*uncertainty_coefficients(np.stack(pairs)))
    return ProbeResult(figures, told)


def _joint(
    said: Sequence[Ints],
    spoken: Sequence[Labelled],
    config: LabelsConfig,
    subject: ProbedTokenizers,
) -> Ints:
    """How often each unit comes with each label (utterances, units, labels)."""
    names = sorted({label.name for _, known in spoken for label in known} - {*config.silence})
    numbers = {name: number for number, name in enumerate(names)}
    joint = []
    for units, (_, known) in zip(said, spoken, strict=True):
        heard = labels.of_frames(known, len(units), subject.frame_rate)
        # The last is for frames that have no label.
        which = np.array([*(numbers.get(label.name, -1) for label in known), -1], np.int64)[heard]
        some = which >= 0
        joint.append(joint_counts(units[some], which[some], (subject.kinds, len(names))))
    return np.stack(joint)


def _tokens(
    said: Sequence[Ints], spoken: Sequence[Labelled], config: LabelsConfig, rate: float
) -> dict[str, list[Ints]]:
    """Units of each label that is long enough, of the kinds that are heard most often."""
    found: dict[str, list[Ints]] = defaultdict(list)
    for units, (_, known) in zip(said, spoken, strict=True):
        for label in known:
            token = labels.during(label, units, rate)
            # To the tenth of a millisecond: times are differences of decimals.
            lasts = round(label.end - label.start, 4)
            if label.name not in config.silence and lasts >= config.shortest and len(token):
                found[label.name].append(token)
    often = sorted(found, key=lambda name: (-len(found[name]), name))
    return {name: found[name] for name in often[: config.most]}


def _counted(units: Ints, kinds: int) -> Ints:
    """Of frames and of runs, how many of each unit; then runs and frames in all."""
    kept, _ = runs(units)
    every = [np.bincount(each, minlength=kinds) for each in (units, kept)]
    return np.concatenate([*every, [len(kept), len(units)]])


def _fact(value: float) -> Interval:
    return Interval(float(value), math.nan, math.nan, 1, 0)
