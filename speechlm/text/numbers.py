"""English number words: cardinals, ordinals, years and digit strings.

Libraries that do the same were judged: num2words is LGPL and imports fifty languages, inflect takes
seconds to import.
"""

from __future__ import annotations

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = ("", "thousand", "million", "billion", "trillion", "quadrillion")
LIMIT = 10 ** (3 * len(SCALES))
"""Cardinals from here on are read digit by digit."""
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}


def cardinal(number: int) -> str:
    """``123`` is "one hundred twenty three"; a negative number begins with "minus"."""
    if number < 0:
        return "minus " + cardinal(-number)
    if number >= LIMIT:
        return digits(str(number))
    if number < 20:
        return ONES[number]
    words: list[str] = []
    for power in range(len(SCALES) - 1, -1, -1):
        group = number // 1000**power % 1000
        if group:
            words += [_below_thousand(group), SCALES[power]]
    return " ".join(word for word in words if word)


def ordinal(number: int) -> str:
    """``21`` is "twenty first"; ``number`` is 0 or more."""
    *rest, last = cardinal(number).split()
    if last in ORDINALS:
        last = ORDINALS[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return " ".join([*rest, last])


def digits(text: str, zero: str = "zero") -> str:
    """Every digit of ``text`` by itself; other characters are left out."""
    return " ".join(zero if each == "0" else ONES[int(each)] for each in text if each.isdigit())


def year(number: int) -> str:
    """``1905`` is "nineteen oh five", ``2000`` "two thousand", ``2026`` "twenty twenty six"."""
    century, rest = divmod(number, 100)
    if not 10 <= century <= 99 or number % 1000 < 10:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def decimal(text: str) -> str:
    """A number as it is written, with thousands commas and a decimal point: ``1,234.50``."""
    whole, point, fraction = text.replace(",", "").partition(".")
    words = cardinal(int(whole)) if whole else "zero"
    return f"{words} point {digits(fraction)}" if point and fraction else words


def plural(words: str) -> str:
    """``sixty`` is "sixties", ``nineteen hundred`` "nineteen hundreds", ``six`` "sixes"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("x", "s")) else "s")


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [ONES[hundreds], "hundred"] if hundreds else []
    if 0 < rest < 20:
        words.append(ONES[rest])
    elif rest:
        words.append(TENS[rest // 10])
        if rest % 10:
            words.append(ONES[rest % 10])
    return " ".join(words)
