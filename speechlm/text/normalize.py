"""Written English to the words that are read: numbers, dates, money, abbreviations, addresses.

A cascade of rules, from the most specific to the least, each of which replaces what it knows by
lower-case words (Sproat et al. 2001, "Normalization of non-standard words", has the taxonomy).
Kept libraries were judged: nemo_text_processing compiles grammars by pynini (OpenFst), which has
wheels for few platforms.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from dataclasses import dataclass

from speechlm.errors import SpeechLMError
from speechlm.text.rules import RULES

LETTERS = {
    "ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "ł": "l", "Ł": "L",
            "đ": "d", "ð": "th", "þ": "th", "ı": "i"}  # fmt: skip
"""Letters without a decomposition into one of ASCII and marks."""

_QUOTES = r"(?<![A-Za-z])['-]+(?!(?:em|til|tis|twas|cause)\b)|['-]+(?![A-Za-z])"
"""Apostrophes and hyphens that are not within a word, but for words that begin with one."""


@dataclass(frozen=True)
class Normalized:
    """A text in words and punctuation, and the characters of the input that have no reading."""

    text: str
    unreadable: tuple[str, ...]


def normalize(text: str) -> Normalized:
    """Read ``text`` as English: no digit, symbol or abbreviation stays.

    Plain words and the punctuation ``. , ? ! ; :`` come back as they are, apostrophes and hyphens
    within words too. Letters with diacritics lose them. Letters of other scripts, emoji and other
    symbols are left out and named in ``unreadable``.
    """
    text = _unify(text)
    if not any(letter.islower() for letter in text) and len(text.split()) > 1:
        text = text.lower()  # in a text of capitals they mark no acronym
    for pattern, replace in RULES:
        text = pattern.sub(replace, text)
    return _keep_readable(text)


def to_words(text: str) -> str:
    """The text of :func:`normalize`, with a warning that names what it leaves out.

    Raises:
        SpeechLMError: when there is no text, or nothing of it has a reading.
    """
    found = normalize(text)
    if not any(letter.isalpha() for letter in found.text):
        if found.unreadable:
            raise SpeechLMError(
                f"no English text: nothing of {_short(text)!r} has a reading ({_names(found)})"
            )
        raise SpeechLMError("there is no text: give some")
    if found.unreadable:
        warnings.warn(f"not read, since no English text: {_names(found)}", stacklevel=2)
    return found.text


def _names(found: Normalized) -> str:
    named = [f"{each} {unicodedata.name(each, 'unnamed').lower()}" for each in found.unreadable]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return ", ".join(named[:5]) + more


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:20] + "..."


def _unify(text: str) -> str:
    """One form of quotes, dashes, spaces, superscripts and fractions."""
    text = re.sub(r"(\d)([¼-¾⅐-⅞])", r"\1 \2", text)
    text = text.translate({0xB2: "2", 0xB3: "3", 0x2044: "/", 0x2212: "-", 0x200D: None})
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    for marks, plain in (
        ("\u2018\u2019\u201b\u02bc`\u00b4", "'"),
        ("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        ("\u2010\u2011\u2012", "-"),
    ):
        text = re.sub(f"[{marks}]", plain, text)
    text = re.sub(r"(?<=\d)\s?\u2013\s?(?=\d)", "-", text)
    text = re.sub(r"\s*(?:\u2013|\u2014|\u2015|--+)\s*", ", ", text)
    return re.sub(r"\.\.+|\u2026", ".", text)


def _keep_readable(text: str) -> Normalized:
    kept: list[str] = []
    unreadable: dict[str, None] = {}
    for character in unicodedata.normalize("NFKD", text):
        kind = unicodedata.category(character)
        if character.isascii() and (character.isalpha() or character in "'-.,?!;:"):
            kept.append(character)
        elif kind == "Mn" or character == "\ufe0f":
            continue  # what a letter bears above or below
        elif character in LETTERS:
            kept.append(LETTERS[character])
        else:
            kept.append(" ")
            if kind[0] in "LNSC" and not character.isspace() and not character.isascii():
                unreadable[character] = None
    plain = "".join(kept)
    plain = re.sub(_QUOTES, " ", plain)
    plain = re.sub(r"\s+(?=[.,?!;:])", "", plain)
    plain = re.sub(r"[.,;:]*([?!])[.,?!;:]*", r"\1", plain)
    plain = re.sub(r"([.,;:])[.,;:]+", r"\1", plain)
    plain = re.sub(r"([.,?!;:])(?=[A-Za-z])", r"\1 ", plain)
    return Normalized(" ".join(plain.split()).lstrip(".,;: "), tuple(unreadable))
