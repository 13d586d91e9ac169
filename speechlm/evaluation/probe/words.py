"""Words and their times, of a prepared corpus that ``speechlm align`` has been through.

A word lasts there until the next one begins, and the first one from the beginning: the pauses
are some word's. What they sound like is nothing that a word is known by, so they are cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from speechlm.data import speech
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation.probe.config import LabelsConfig
from speechlm.evaluation.probe.labels import Label, Labelled, spread

STEP = 0.01
"""Seconds of a frame whose power is measured."""
SILENCE = 30.0
"""dB below the loudest hundredth of an utterance's frames. In AN4 the quietest are 35 to 52 dB
below; what is left of words is 0.49 s of an utterance's first, and 0.32 s of those within."""


def find(config: LabelsConfig, key: str) -> list[Labelled]:
    """See :func:`speechlm.evaluation.probe.labels.find`."""
    found = [one for one in speech.find(config.corpus) if one.aligned]
    if not found:
        raise SpeechLMError(
            f"{key}.corpus: {config.corpus} has no words with times: speechlm align "
            f"{config.corpus}, or leave it out by {key}=null"
        )
    return [(one, list(_said(one))) for one in spread(found, config.utterances)]


def _said(utterance: Utterance) -> Iterator[Label]:
    """The words without the pauses around them, in lower case and without punctuation.

    One in which there is no sound is left out.
    """
    loud = _loud(*utterance.audio())
    for text, start, end in utterance.segments:
        first = round(start / STEP)
        heard = np.flatnonzero(loud[first : round(end / STEP)])
        if len(heard):
            times = (STEP * (first + int(place)) for place in (heard[0], heard[-1] + 1))
            yield Label(re.sub(r"^\W+|\W+$", "", text).casefold(), *times)


def _loud(wave: np.ndarray, rate: int) -> np.ndarray:
    """Which frames of ``STEP`` seconds of a wave (samples,) are no silence, bool (frames,)."""
    size = round(STEP * rate)
    power = np.square(wave[: len(wave) // size * size].reshape(-1, size)).mean(axis=1)
    if not power.any():
        return np.zeros(len(power), bool)
    return np.asarray(power > np.quantile(power, 0.99) * 10 ** (-SILENCE / 10))
