"""Which metric agrees with listeners: its correlation with the scores of a MUSHRA test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from speechlm import audio
from speechlm.benchmarks.judge_report import JudgeReport, summarise
from speechlm.benchmarks.mushra import Stimulus, read_folder
from speechlm.evaluation import alignment
from speechlm.evaluation.metrics import METRICS, Metric, named
from speechlm.evaluation.store import Store, default_folder, key
from speechlm.types import Wave
from speechlm.utils.processes import progress

RATE = 16000
VERSION = 1  # of what this file does to audio before a metric sees it


def run(folder: Path, names: Sequence[str] = ()) -> JudgeReport:
    """Correlate metrics (all, if none is named) with the listening scores in ``folder``.

    Audio is compared at 16 kHz, aligned. Scores are kept in the evaluation's cache.

    Raises:
        SpeechLMError: for a folder without listening scores, or an unknown metric.
    """
    stimuli = read_folder(folder)
    metrics = named(names or METRICS)
    scores = np.full((len(stimuli), len(metrics)), np.nan)
    reasons: dict[str, str] = {}
    with (
        Store(default_folder()) as store,
        progress("judging", len(stimuli)) as advance,
    ):
        for row, stimulus in enumerate(stimuli):
            pair = _Pair(stimulus)
            for column, metric in enumerate(metrics):
                value = _score(metric, pair, store)
                if isinstance(value, str):
                    reasons[metric.name] = value
                else:
                    scores[row, column] = value
            advance(stimulus.condition)
    return summarise(folder.name, stimuli, metrics, scores, reasons)


class _Pair:
    """Reference and output of a stimulus, read when first asked for."""

    def __init__(self, stimulus: Stimulus) -> None:
        self.stimulus = stimulus
        self._waves: tuple[Wave, Wave] | None = None

    @property
    def waves(self) -> tuple[Wave, Wave]:
        if self._waves is None:
            paths = self.stimulus.reference, self.stimulus.audio
            first, second = (audio.read(path, RATE)[0] for path in paths)
            aligned = alignment.align(first, second, RATE)
            self._waves = aligned.reference, aligned.estimate
        return self._waves

    @cached_property
    def digest(self) -> str:
        digests = []
        for path in (self.stimulus.reference, self.stimulus.audio):
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return " ".join(digests)


def _score(metric: Metric, pair: _Pair, store: Store) -> float | str:
    """Agreement with the original by ``metric``, higher is better; a reason where it has none.

    A metric in which lower is better changes its sign; of one whose best value is the original's
    own, it is how far from it the output is, with a minus.
    """
    name = key("judge", VERSION, alignment.VERSION, pair.digest, metric.fingerprint)
    known = store.get(name)
    if known is not None:
        value: float | str = known
        return value
    reference, estimate = pair.waves
    score = metric(reference, estimate, RATE)
    if score.reason:
        return score.reason
    found = score.value
    if metric.better == "lower":
        found = -found
    elif metric.better is None:
        original = metric(reference, reference, RATE)
        if original.reason:
            return original.reason
        found = -abs(found - original.value)
    store.put(name, found)
    return found
