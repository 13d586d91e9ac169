"""Texts in sentences: at full stops, but not those of abbreviations, initials and numbers."""

from __future__ import annotations

import re

from speechlm.text.tables import BEFORE_NAME, MONTH_NAMES, TITLES

_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?=\s)|\n\s*\n")
_LATE = frozenset({"etc", "jr", "sr", "inc", "ltd", "corp", "co", "ave", "blvd", "rd", "bros"})
"""Abbreviations that often stand last in a sentence."""


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, without the space around them; joined they have all its words."""
    found, start = [], 0
    for match in _END.finditer(text):
        before, after = text[start : match.start()], text[match.end() :]
        if match[0].strip() and after.lstrip()[:1].islower():
            continue
        if "." in match[0] and not _ends_sentence(before, after):
            continue
        found.append(text[start : match.end()].strip())
        start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def _ends_sentence(before: str, after: str) -> bool:
    """Whether a full stop between these ends a sentence."""
    following = after.lstrip().lstrip("\"'“‘([")[:1]
    word = re.split(r"[\s(\"'“‘]", before)[-1]
    bare = word.lower()
    if re.fullmatch(r"[A-Za-z]", word) and word != "I":
        return False  # an initial
    if re.fullmatch(r"(?:[A-Za-z]\.)+[A-Za-z]", word):  # U.S, p.m, e.g
        return bare in {"a.m", "p.m", "u.s", "u.k"} and not following.isdigit() and bool(following)
    if bare in _LATE or (bare == "st" and len(before.split()) > 1):
        return following.isupper() and bare in _LATE
    if bare in {"no", "fig", "pp", "vol", "ch"}:
        return not following.isdigit()
    return bare not in {*TITLES, *BEFORE_NAME, *MONTH_NAMES, "vs", "approx"} or bare in {
        "may", "march", "june", "july", "august", "april",
    } or (bare in {"sun", "sat", "pres", "hon", "rep"} and not word[:1].isupper())  # fmt: skip
