"""The seam of what is known of recordings: labels with times, of whatever kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation.probe.config import LabelsConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Label:
    """What is heard from ``start`` to before ``end``, in seconds: a phone, a word."""

    name: str
    start: float
    end: float


Labelled = tuple[Utterance, list[Label]]
"""An utterance with its labels in order, of which no two overlap."""


def find(config: LabelsConfig, key: str) -> list[Labelled]:
    """The utterances that have labels, evenly chosen; ``key`` is where they are declared.

    Raises:
        SpeechLMError: when none has, or nothing but silence, or for an unknown kind.
    """
    from speechlm.evaluation.probe import words, xwaves

    kinds = {"xwaves": xwaves.find, "words": words.find}
    if config.kind not in kinds:
        raise SpeechLMError(f"{key}.kind is one of {', '.join(kinds)}, not {config.kind}")
    found = kinds[config.kind](config, key)
    names = {label.name for _, labels in found for label in labels} - {*config.silence}
    if len(names) < 2:
        raise SpeechLMError(f"{key}: {config.corpus} has no two kinds but those of {key}.silence")
    return found


def spread(items: Sequence[T], number: int) -> list[T]:
    """``number`` of ``items``, evenly chosen; all, if there are fewer."""
    chosen = np.linspace(0, len(items) - 1, min(number, len(items))).round().astype(int)
    return [items[index] for index in chosen.tolist()]


def of_frames(labels: Sequence[Label], frames: int, rate: float) -> NDArray[np.int64]:
    """Which of ``labels`` is heard in the middle of each frame, (frames,); -1 where none is."""
    middles = (np.arange(frames) + 0.5) / rate
    found = np.searchsorted([label.end for label in labels], middles, side="right")
    starts = np.array([*(label.start for label in labels), math.inf])
    return np.where(starts[found] <= middles, found, -1)


def during(label: Label, units: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    """The ``units`` (frames,) whose middles hear ``label``; where none does, that of its middle.

    Nothing, of a label after the last.
    """
    first, last = (math.ceil(time * rate - 0.5) for time in (label.start, label.end))
    if first >= last:
        first = int((label.start + label.end) / 2 * rate)
    return units[first : max(last, first + 1)]
