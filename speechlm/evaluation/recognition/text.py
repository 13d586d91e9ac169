"""Texts made comparable, and the errors between them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from speechlm.errors import SpeechLMError
from speechlm.evaluation.recognition.base import Unusable

Normaliser = Callable[[str], str]
MONTHS = "(?:january|february|march|april|may|june|july|august|september|october|november|december)"


@dataclass(frozen=True)
class Errors:
    """Substitutions, deletions and insertions, over the ``total`` units of the reference."""

    errors: int
    total: int

    @property
    def rate(self) -> float:
        return self.errors / self.total


def normaliser(name: str) -> Normaliser:
    """``basic``, ``english`` or ``spelled``: a function that both texts go through.

    Raises:
        SpeechLMError: for any other name.
        Unusable: when a package is missing.
    """
    known = {"basic": _basic, "english": _english, "spelled": _spelled}
    if name not in known:
        raise SpeechLMError(f"normaliser {name!r} is none of {', '.join(known)}")
    if name != "basic":
        _whisper_english()
    return known[name]


def word_errors(reference: str, hypothesis: str) -> Errors:
    """Word errors of two normalised texts; ``reference`` is not empty."""
    import jiwer

    found = jiwer.process_words(reference, hypothesis)
    wrong = found.substitutions + found.deletions + found.insertions
    return Errors(wrong, found.hits + found.substitutions + found.deletions)


def character_errors(reference: str, hypothesis: str) -> Errors:
    """Character errors of two normalised texts, spaces included; ``reference`` is not empty."""
    import jiwer

    found = jiwer.process_characters(reference, hypothesis)
    wrong = found.substitutions + found.deletions + found.insertions
    return Errors(wrong, found.hits + found.substitutions + found.deletions)


def _basic(text: str) -> str:
    """Lower case, letters and digits of any script, apostrophes dropped, single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("\u2019", "")
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in folded)
    return " ".join("".join(kept).split())


def _english(text: str) -> str:
    """Whisper's English normaliser: spelling variants, contractions, numbers as digits."""
    return str(_whisper_english()(text)).strip()


def _spelled(text: str) -> str:
    """For speech that is spelled letters, read digits and dates, written as the writer likes.

    ``W Y A T U SEVENTY SEVEN``, ``W-Y-A-T-U 77`` and ``WYATU77`` all become ``wyatu 77``;
    ``NINTH OF MAY NINETEEN OH FIVE``, ``9th of May, 1905`` and ``9 May 1905``, ``9 may1905``.
    """
    apart = re.sub(r"(?<=\b\w)[-.,]\s*(?=\w\b)", " ", re.sub(r"(?<=[^\W\d_])(?=\d)", " ", text))
    joined = re.sub(r"\b[^\W\d_](?: [^\W\d_]\b)+", lambda run: run[0].replace(" ", ""), apart)
    # Whisper's normaliser knows ninth as nineth, and drops zeros that begin a number.
    zeros = re.sub(r"\b0+(?=\d)", lambda run: "0 " * len(run[0]), joined)
    known = re.sub(r"(?i)\bninth\b", "nineth", zeros)
    words = re.sub(r"(?<=[^\W\d])(?=\d)|(?<=\d)(?=[^\W\d])", " ", _english(known))
    cardinal = re.sub(r"(?<=\d) (?:st|nd|rd|th)\b", "", words)
    dated = re.sub(rf"(?<=\d) of (?={MONTHS}\b)", " ", cardinal)
    # It writes a lone 1 as a word, beside other lone digits, and keeps dots of "...".
    digits = re.sub(r"\bone\b", "1", re.sub(r"(?<!\d)\.|\.(?!\d)", "", dated))
    return " ".join(re.sub(r"(?<=\d) (?=\d)", "", digits).split())


@cache
def _whisper_english() -> Normaliser:
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        raise Unusable("whisper-normalizer is not installed: pip install 'speechlm[asr]'") from None
    made: Normaliser = EnglishTextNormalizer()
    return made
