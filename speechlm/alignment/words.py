"""Words of a transcript in time, and where the sound says that one ends and the next begins."""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from speechlm.errors import SpeechLMError
from speechlm.types import Floats

RATE = 16000
STEP = 0.01
"""Seconds from one level of sound to the next."""
QUIET = 35.0
"""Decibels below the loud that speech does not reach when it is over."""
NOISE = 10.0
"""Decibels above the quietest that noise stays below, where it is louder than that."""
PAUSE = 0.3
"""Seconds of quiet after which what is loud is no part of the last word."""
REST = 0.06
"""Seconds of the last word after it was loud."""


class Word(NamedTuple):
    """A word as the transcript writes it, from ``start`` seconds to ``stop``."""

    text: str
    start: float
    stop: float


class Aligner(ABC):
    """Tells when words are said."""

    @abstractmethod
    def __call__(self, wave: np.ndarray, text: str) -> list[Word]:
        """The words of ``text``, which is said in ``wave`` (samples,) at 16 kHz.

        A word ends where the next begins, so the words hold all of the wave from the first to the
        end of what is said.

        Raises:
            SpeechLMError: when nothing is said, or this aligner cannot align it.
        """


def split(text: str) -> list[str]:
    """The words of a text. What has no letter or digit belongs to the word before it.

    Raises:
        SpeechLMError: when there is none.
    """
    words = re.findall(r"\S*[^\W_]\S*(?:\s+(?:[^\w\s]|_)+(?=\s|$))*", text)
    if not words:
        raise SpeechLMError("no word is said")
    return words


def between(words: list[str], edges: list[float]) -> list[Word]:
    """Words from one of ``edges`` (one more than words) to the next."""
    return [Word(word, *each) for word, each in zip(words, itertools.pairwise(edges), strict=True)]


def levels(wave: np.ndarray) -> Floats:
    """Decibels (n,), one every :data:`STEP`, of 30 ms around it; none of less than that."""
    hop_length = round(RATE * STEP)
    frames = wave[: len(wave) // hop_length * hop_length].reshape(-1, hop_length)
    if len(frames) < 3:
        return np.zeros(0)
    power = np.convolve(np.square(frames).mean(axis=1), np.ones(3) / 3, "same")
    found: Floats = 10 * np.log10(power + 1e-10)
    return found


def end(loudness: Floats, known: float, length: float) -> float:
    """When speech ends, in seconds, of which ``known`` are spoken for sure, and ``length`` are all.

    Where it is as loud after that as speech is, it goes on, until a pause.
    """
    first = round(known / STEP)
    if first >= len(loudness):
        return min(known, length)
    low, high = np.percentile(loudness, (5, 95))
    speech = max(high - QUIET, min(low + NOISE, high - NOISE))
    loud = np.flatnonzero(loudness[first:] > speech)
    pauses = np.flatnonzero(np.diff(loud, prepend=0) > PAUSE / STEP)
    loud = loud[: pauses[0]] if len(pauses) else loud
    last = first + (int(loud[-1]) if len(loud) else 0)
    return min(last * STEP + REST, length)
