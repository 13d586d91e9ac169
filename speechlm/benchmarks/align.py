"""Aligners where it is known when a word begins: at the joint of two utterances of one speaker.

The silence after the first and before the second is taken away, so that nothing tells where one
ends but what is said.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from speechlm import audio
from speechlm.alignment.words import QUIET, RATE, STEP, Aligner, levels, split
from speechlm.data import speech
from speechlm.data.align import build
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation.format import NONE, with_interval
from speechlm.evaluation.statistics import Interval, known, mean, share
from speechlm.types import Wave
from speechlm.utils.processes import progress

LONGEST = 4.0
"""Seconds of an utterance that is joined to another."""
FAR = 0.1
"""Seconds."""
AROUND = np.zeros(RATE // 10, np.float32)
"""What is put before and after both."""


@dataclass(frozen=True)
class Joint:
    """Two utterances (samples,) at 16 kHz of one speaker, and when the word of number ``word``
    begins."""

    wave: Wave
    text: str
    word: int
    seconds: float
    speaker: str | None


@dataclass(frozen=True)
class AlignmentRow:
    """How far one aligner is off: milliseconds, and the share of joints by more than ``FAR``.

    Intervals are over speakers where they are known, else over joints.
    """

    aligner: str
    off: Interval
    far: Interval
    median: float


@dataclass(frozen=True)
class AlignmentReport:
    """The aligners' rows on the same joints."""

    rows: list[AlignmentRow]

    def table(self) -> Table:
        table = Table("aligner", "n", "speakers", "off, ms", "median", f"over {1000 * FAR:g} ms, %")
        for row in self.rows:
            speakers = NONE if row.off.clusters is None else str(row.off.clusters)
            off, far = with_interval(row.off, 0), with_interval(row.far, 1)
            if row.off.failed:
                off += f", {row.off.failed} failed"
            table.add_row(row.aligner, str(row.off.n), speakers, off, f"{row.median:.0f}", far)
        return table

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run(
    corpus: str | Path, models: list[str | None], named: str, language: str, count: int
) -> AlignmentReport:
    """Align ``count`` joints of the split ``named`` by each of ``models``; see
    :func:`speechlm.data.align.build`.

    Raises:
        SpeechLMError: when there are no two short transcribed utterances of one speaker, or an
            aligner cannot be had.
    """
    joints = find(corpus, named, language, count)
    speakers = known([joint.speaker for joint in joints])
    rows = []
    for model in models:
        aligner = build(model, language)
        with progress(model or "Whisper", len(joints)) as advance:
            off = []
            for joint in joints:
                off.append(_off(joint, aligner))
                advance("")
        far = np.where(np.isnan(off), np.nan, 100.0 * (np.array(off) > 1000 * FAR))
        median = float(np.nanmedian(off))
        rows.append(
            AlignmentRow(
                model or "Whisper", mean(off, clusters=speakers), share(far, speakers), median
            )
        )
    return AlignmentReport(rows)


def find(corpus: str | Path, named: str, language: str, count: int, seed: int = 0) -> list[Joint]:
    """``count`` joints of utterances that are drawn by speaker, the same for the same ``seed``.

    Raises:
        SpeechLMError: as :func:`run`.
    """
    speakers: dict[str | None, list[tuple[Wave, Utterance]]] = {}
    for each in speech.find(corpus):
        if (each.split, each.language) == (named, language) and each.text:
            wave = audio.resample(*each.audio(), RATE)
            if len(wave) <= LONGEST * RATE and (spoken := _spoken(wave)) is not None:
                speakers.setdefault(each.speaker, []).append((spoken, each))
    pairs = [said for said in speakers.values() if len(said) > 1]
    if not pairs:
        raise SpeechLMError(
            f"{corpus}: no speaker of the {named} split has two transcribed utterances in "
            f"{language} of up to {LONGEST:g} s"
        )
    random = np.random.default_rng(seed)
    joints = []
    for _ in range(count):
        said = pairs[int(random.integers(len(pairs)))]
        (one, first), (other, second) = (
            said[int(n)] for n in random.choice(len(said), 2, replace=False)
        )
        before = np.concatenate([AROUND, one])
        wave = np.concatenate([before, other, AROUND])
        words = len(split(first.text or ""))
        text = f"{first.text} {second.text}"
        joints.append(Joint(wave, text, words, len(before) / RATE, first.speaker))
    return joints


def _spoken(wave: Wave) -> Wave | None:
    """A wave without what is quiet around it; None if all is."""
    loudness = levels(wave)
    if not len(loudness):
        return None
    loud = np.flatnonzero(loudness > np.percentile(loudness, 95) - QUIET - 5)
    hop_length = round(STEP * RATE)
    return wave[loud[0] * hop_length : (loud[-1] + 1) * hop_length] if len(loud) else None


def _off(joint: Joint, aligner: Aligner) -> float:
    """Milliseconds; NaN where nothing is aligned."""
    try:
        words = aligner(joint.wave, joint.text)
    except SpeechLMError:
        return float("nan")
    return 1000 * abs(words[joint.word].start - joint.seconds)
