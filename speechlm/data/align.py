"""``speechlm align``: when each word of a prepared corpus is said, into its cuts.

By the attention of Whisper to what it hears, where it is told what was said (Radford et al. 2022;
dynamic time warping over the heads that follow the text). So a recording is only as well aligned
as its transcript says what is in it.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from speechlm import audio, whisper
from speechlm.data.corpus import PreparedCorpus, write_cuts
from speechlm.data.speech import loaded
from speechlm.data.splits import SPLITS
from speechlm.errors import SpeechLMError

if TYPE_CHECKING:
    from lhotse.cut import Cut

RATE, HOP = 16000, 160
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


class Word(NamedTuple):
    """A word as the transcript writes it, from ``start`` seconds to ``stop``."""

    text: str
    start: float
    stop: float


class Aligner:
    """Tells when words are said.

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
        """The words of ``text``, which is said in ``wave`` (samples,) at 16 kHz.

        A word ends where the next begins, so the words hold all of the wave but what is before
        and after them. What has no letter or digit belongs to the word before it.

        Raises:
            SpeechLMError: when nothing is said, or it is longer than half a minute.
        """
        words = re.findall(r"\S*\w\S*(?:\s+[^\w\s]+(?=\s|$))*", text)
        if not words:
            raise SpeechLMError("no word is said")
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
        times = settled(wave, (at[first.clip(max=len(at) - 1), 1] * STEP).tolist())
        return [Word(*each) for each in zip(words, times, times[1:], strict=False)]


def settled(wave: np.ndarray, times: list[float]) -> list[float]:
    """``times`` in seconds at which words of ``wave`` (samples,) begin and the last ends, moved to
    where it is quiet nearby.

    The attention finds a word when it has heard some of it: where there are pauses between letters
    that are spelled, the most of its edges are 0.1 s late, inside the vowel.
    """
    hop = RATE // 100
    frames = wave[: len(wave) // hop * hop].reshape(-1, hop)
    if len(frames) < 3:
        return times
    level = np.convolve(np.square(frames).mean(axis=1), np.ones(3) / 3, "same")
    loudness = 10 * np.log10(level + 1e-10)
    places = np.arange(len(loudness)) / 100
    found = [times[0]]
    for before, at, after in zip(times, times[1:], [*times[2:], np.inf], strict=False):
        least = max(at - EARLIEST, (before + at) / 2, found[-1])
        near = (places >= least) & (places <= min(at + LATEST, (at + after) / 2))
        cost = np.where(near, loudness + AWAY * (places - at + LATE) ** 2, np.inf)
        found.append(float(places[cost.argmin()]) if near.any() else max(at, found[-1]))
    return found


def align(folder: str | Path, language: str, model: str | None) -> Counter[str]:
    """Align what a prepared corpus has in a language, and is not aligned yet.

    Returns:
        How many utterances are aligned now, and how many are not, by reason.

    Raises:
        SpeechLMError: when it is not a prepared corpus, or something that is needed is missing.
    """
    corpus = PreparedCorpus.open(folder)
    aligner = Aligner(model, language)
    counts: Counter[str] = Counter()
    for split in SPLITS:
        title, screen = f"{corpus.name} {split}", Console(stderr=True)
        aligned = []
        for cut in track(list(corpus.cuts(split)), description=title, console=screen):
            try:
                counts[_add(cut, aligner, language)] += 1
            except SpeechLMError as reason:
                counts[str(reason)] += 1
            aligned.append(cut)
        write_cuts(corpus.folder, split, aligned)
    return counts


def _add(cut: Cut, aligner: Aligner, language: str) -> str:
    from lhotse.supervision import AlignmentItem

    said = [each for each in cut.supervisions if each.text]
    if len(said) != 1 or said[0].language != language:
        return f"not one transcript in {language}"
    [only] = said
    if not only.alignment:
        words = aligner(audio.resample(*loaded(cut), RATE), str(only.text))
        only.alignment = {
            "word": [AlignmentItem(w.text, w.start, round(w.stop - w.start, 4)) for w in words]
        }
    return "aligned"
