"""An aligner without training: the attention of Whisper to what it hears, where it is told what was
said (Radford et al. 2022; dynamic time warping over the heads that follow the text).
"""

from __future__ import annotations

import itertools
import re

import numpy as np

from speechlm import whisper
from speechlm.alignment.words import RATE, Aligner, Word, between, end, levels, split
from speechlm.alignment.words import STEP as LEVEL
from speechlm.errors import SpeechLMError
from speechlm.types import Floats

HOP = 160
WINDOW = 30
"""Seconds that Whisper hears; what is longer is not aligned."""
AFTER = 0.5
"""Seconds of silence after what is said."""
STEP = 0.02
"""Seconds from one place in time that the attention tells from the next."""
LATE, EARLIEST, LATEST = 0.1, 0.22, 0.06
"""Seconds that the attention comes late, mostly, and an edge is moved by, at most, to a quiet place
before and after."""
AWAY = 600.0
"""Decibels that a place may be louder for being nearer to where an edge mostly is, a second²."""


class AttentionAligner(Aligner):
    """Whisper's attention, edges moved to where it is quiet.

    Args:
        model: of Whisper, as :func:`speechlm.whisper.find` takes it.
        language: that is spoken, as a two-letter code.

    Raises:
        SpeechLMError: when a package or the model is not there.
    """

    def __init__(self, model: str | None, language: str):
        found, _ = whisper.find(model)
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        try:
            self._whisper = WhisperModel(found, device="cpu", compute_type="float32", cpu_threads=1)
            several = self._whisper.model.is_multilingual
            if not several and language != "en":
                raise ValueError(f"it knows English, not {language!r}")
            tokenizer = self._whisper.hf_tokenizer
            self._tokenizer = Tokenizer(tokenizer, several, "transcribe", language)
        except Exception as error:  # the hub's client and CTranslate2 raise many types
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SpeechLMError(f"Whisper model {found!r} cannot be used: {reason}") from None

    def __call__(self, wave: np.ndarray, text: str) -> list[Word]:
        words = split(text)
        if len(wave) > WINDOW * RATE:
            raise SpeechLMError(f"longer than {WINDOW} s")
        said = [" " + re.sub(r"^\W+|\W+$", "", word) for word in words]
        pieces = [self._tokenizer.encode(word) for word in said]
        padded = np.pad(wave, (0, round(AFTER * RATE)))
        heard = self._whisper.feature_extractor(padded, padding=HOP)
        heard = heard[:, : min(heard.shape[1] // 2 * 2, WINDOW * RATE // HOP)]
        [found] = self._whisper.model.align(
            self._whisper.encode(heard),
            self._tokenizer.sot_sequence,
            [list(itertools.chain.from_iterable(pieces))],
            len(wave) // HOP,
        )
        at = np.array(found.alignments)
        first = np.searchsorted(at[:, 0], np.cumsum([0, *map(len, pieces)]))
        *begins, over = (at[first.clip(max=len(at) - 1), 1] * STEP).tolist()
        loudness = levels(wave)
        edges = [*snap_to_energy_minimum(loudness, begins), end(loudness, over, len(wave) / RATE)]
        return between(words, np.maximum.accumulate(edges).tolist())


def snap_to_energy_minimum(loudness: Floats, times: list[float]) -> list[float]:
    """``times`` in seconds at which words begin, moved to where it is quiet nearby, by the levels
    of the wave.

    The attention finds a word when it has heard some of it: where there are pauses between letters
    that are spelled, the most of its edges are 0.1 s late, inside the vowel.
    """
    if not len(loudness):
        return times
    places = np.arange(len(loudness)) * LEVEL
    found = [times[0]]
    for before, at, after in zip(times, times[1:], [*times[2:], np.inf], strict=False):
        least = max(at - EARLIEST, (before + at) / 2, found[-1])
        near = (places >= least) & (places <= min(at + LATEST, (at + after) / 2))
        cost = np.where(near, loudness + AWAY * (places - at + LATE) ** 2, np.inf)
        found.append(float(places[cost.argmin()]) if near.any() else max(at, found[-1]))
    return found
