"""Made-up sentences like those of small recognisers' corpora: commands, numbers, dates, spelling.

A sentence is a pure function of its number, so a corpus that grows keeps what it had.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np


def _words(text: str) -> list[str]:
    return text.split()


ONES = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
TENS = _words("_ _ twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
MONTHS = _words(
    "January February March April May June July August September October November December"
)
COMMANDS = _words("yes no go stop start help enter erase rubout repeat")
NAMES = _words(
    "Adam Alice Arthur Barbara Carol Charles Diana Edward Emily Frank George Hannah Henry Isabel "
    "Jack Julia Karen Kevin Laura Martin Monica Nathan Oliver Paul Quentin Rachel Robert Sarah "
    "Simon Thomas Ursula Victor Walter Xavier Yvonne Zoe Baker Carter Fisher Garland Hudson Irving "
    "Jackson Keller Lambert Mitchell Norton Owens Parker Quinn Reynolds Shelby Turner Vaughn"
)


def cardinal(number: int) -> str:
    """0 to 9999 in words: ``one hundred five``."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f" {ONES[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    high, low = divmod(number, size)
    return f"{cardinal(high)} {name}" + (f" {cardinal(low)}" if low else "")


def ordinal(number: int) -> str:
    """1 to 99 in words: ``twenty first``."""
    *before, last = cardinal(number).split()
    ending = ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*before, ending])


def year(number: int) -> str:
    """1100 to 1999 as a year is read: ``nineteen oh five``."""
    century, rest = divmod(number, 100)
    low = "hundred" if not rest else f"oh {ONES[rest]}" if rest < 10 else cardinal(rest)
    return f"{cardinal(century)} {low}"


KINDS = ("command", "digits", "name", "letters", "date", "number")


def sentence(number: int, seed: int = 0, kinds: Sequence[str] = KINDS) -> str:
    """A sentence of one of ``kinds``; letters that are spelled are capitals, each a word."""
    random = np.random.default_rng((seed, number))

    def some(words: list[str] | str, least: int = 1, most: int = 1) -> str:
        return " ".join(random.choice(list(words), int(random.integers(least, most + 1))))

    match kinds[int(random.integers(len(kinds)))]:
        case "command":
            number = int(random.integers(0, 1000))
            return some(COMMANDS) + (f" {cardinal(number)}" if random.random() < 0.8 else "")
        case "digits":
            return some(ONES[:10], 3, 10)
        case "name":
            return " ".join(some(NAMES).upper())
        case "letters":
            letters = some(string.ascii_uppercase, 2, 6)
            return f"{letters} {cardinal(int(random.integers(1, 100)))}"
        case "date":
            day, month = ordinal(int(random.integers(1, 32))), some(MONTHS)
            date = f"{month} {day}" if random.integers(2) else f"{day} of {month}"
            return f"{date} {year(int(random.integers(1900, 2000)))}"
        case _:
            return cardinal(int(random.integers(0, 10000)))
