"""The rules of normalisation, in order: patterns, and what they are read as."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from re import Match

from speechlm.text import tables as t
from speechlm.text.numbers import cardinal, decimal, digits, ordinal, plural, year

Rule = tuple[re.Pattern[str], Callable[[Match[str]], str]]

# Addresses of the web and of mail


def _spell(word: str) -> str:
    """A word as it is read, or its letters where it has no vowel."""
    if (re.search(r"[aeiouy]", word.lower()) and len(word) > 2) or word.lower() in t.SHORT_WORDS:
        return word.lower()
    return " ".join(word.lower())


def _address(match: Match[str]) -> str:
    text = re.sub(r"^[a-z]+://", "", match[0], flags=re.I).rstrip("/")
    names = {"@": "at", ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "+": "plus",
             "~": "tilde", "?": "question mark", "=": "equals", "&": "and", "#": "hash",
             "%": "percent", ":": "colon"}  # fmt: skip
    words = []
    for part in re.findall(r"[A-Za-z]+|\d+|[^A-Za-z\d]", text):
        words.append(
            names.get(part) or (_number_or_digits(part) if part.isdigit() else _spell(part))
        )
    return " " + " ".join(words) + " "


def _number_or_digits(text: str) -> str:
    """Long numbers, and those that begin with zero, are read digit by digit."""
    if len(text) > 6 or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    return cardinal(int(text))


def _phone(match: Match[str]) -> str:
    groups = re.findall(r"\d+", match[0])
    read = ", ".join(digits(group, "oh") for group in groups)
    return ("plus " if match[0].lstrip("(").startswith("+") else "") + read


# Dates and times


def _month(name: str) -> str:
    return t.MONTH_NAMES[name.lower().rstrip(".")]


def _month_day(match: Match[str]) -> str:
    month, day, written_year = match["month"], int(match["day"]), match["year"]
    read = f"{_month(month)} {ordinal(day)}"
    return f"{read}, {year(int(written_year))}" if written_year else read


def _day_month(match: Match[str]) -> str:
    read = f"{ordinal(int(match['day']))} of {_month(match['month'])}"
    return f"{read} {year(int(match['year']))}" if match["year"] else read


def _date_in_figures(match: Match[str]) -> str:
    if match["iso"]:
        years, month, day = (int(match[name]) for name in ("iso", "isomonth", "isoday"))
    else:
        month, day = int(match["first"]), int(match["second"])
        years = int(match["last"])
        if len(match["last"]) == 2:
            years += 2000 if years < 50 else 1900
        if month > 12:
            month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{t.MONTHS[month - 1]} {ordinal(day)}, {year(years)}"


def _clock(match: Match[str]) -> str:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = (match["half"] or "").replace(".", "").lower()
    if minute:
        read = f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    elif half or match["minute"] is None:
        read = cardinal(hour)
    elif 0 < hour <= 12:
        read = f"{cardinal(hour)} o'clock"
    else:
        read = f"{cardinal(hour)} hundred hours"
    return f"{read} {' '.join(half)}".strip()


# Amounts


def _money(match: Match[str]) -> str:
    one, many, cent, cents = t.CURRENCIES[match["sign"]]
    whole, _, part = match["amount"].replace(",", "").partition(".")
    scale = t.MULTIPLES.get((match["scale"] or "").strip().lower())
    if scale:
        return f"{decimal(match['amount'])} {scale} {many}"
    amount = int(whole or 0)
    read = [f"{cardinal(amount)} {one if amount == 1 else many}"] if amount or not part else []
    if part:
        hundredths = int(part.ljust(2, "0")[:2])
        if len(part) > 2 or not cent:
            return f"{decimal(match['amount'])} {many}"
        if hundredths or not read:
            read.append(f"{cardinal(hundredths)} {cent if hundredths == 1 else cents}")
    return " and ".join(read)


def _cents(match: Match[str]) -> str:
    return f"{decimal(match[1])} {'cent' if match[1] == '1' else 'cents'}"


def _measure(match: Match[str]) -> str:
    one, many = t.UNITS[(match["unit"] or match["short"]).strip().lower()]
    amount = match["amount"]
    return f"{decimal(amount)} {one if amount == '1' else many}"


def _fraction(match: Match[str]) -> str:
    top, bottom = int(match["top"]), int(match["bottom"])
    if not 0 < top < bottom <= 100:
        return f"{cardinal(top)} {'over' if bottom > 100 else 'slash'} {cardinal(bottom)}"
    name = {2: "half", 4: "quarter"}.get(bottom) or ordinal(bottom)
    if top > 1:
        name = "halves" if name == "half" else plural(name) if not name.endswith("y") else name
    whole = f"{cardinal(int(match['whole']))} and " if match["whole"] else ""
    article = "a" if match["whole"] and top == 1 else cardinal(top)
    return f"{whole}{article} {name}"


def _decade(match: Match[str]) -> str:
    if match["short"]:
        return plural(cardinal(int(match["short"])))
    number = int(match["long"])
    return plural(year(number))


def _roman(text: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10}[each] for each in text]
    later = [*values[1:], 0]
    return sum(-a if a < b else a for a, b in zip(values, later, strict=True))


def _numeral(match: Match[str]) -> str:
    before, numeral = match["before"], match["numeral"]
    if not numeral or before.lower() not in t.REGNAL | t.NUMBERED:
        return match[0]  # as "IIII", which is none
    number = _roman(numeral)
    if before.lower() in t.REGNAL:
        return f"{before} the {ordinal(number)}"
    return f"{before} {cardinal(number)}"


def _number(match: Match[str]) -> str:
    text = match[0]
    if "," not in text and "." not in text:
        if (text[0] == "0" and len(text) > 1) or (len(text) > 6 and not text.endswith("000")):
            return digits(text)
        if len(text) == 4 and 1100 <= int(text) <= 2099:
            return year(int(text))
    return decimal(text)


# Words


def _titled(match: Match[str]) -> str:
    word = match["word"].lower()
    return (t.TITLES.get(word) or t.BEFORE_NAME[word]) + " "


def _titled_with_stop(match: Match[str]) -> str:
    """Before a name; of those that also stand after one, not where one comes before."""
    word = match["word"]
    after_name = re.search(r"[A-Z]\w*\s$", match.string[: match.start()])
    if not word[0].isupper() or (word.lower() in t.AFTER_NAME and after_name):
        return match[0]
    return _titled(match)


def _abbreviation(match: Match[str]) -> str:
    """A full stop that may end the sentence stays, and then what may be a word is no other."""
    word = match["word"].lower()
    if match["end"] is not None and word in {"min", "max", "ed", "al", "temp", "fig"}:
        return match[0]
    read = t.AFTER_NAME.get(word) or t.ABBREVIATIONS[word]
    return read + ("." if match["end"] is not None else "")


def _calendar(match: Match[str]) -> str:
    word = match["word"]
    return _CALENDAR[word.lower()] if word[0].isupper() else match[0]


def _initials(match: Match[str]) -> str:
    letters = " ".join(match[0].replace(".", "").lower())
    return letters + ("." if re.match(r"\s*$|\s+[A-Z]", match.string[match.end() :]) else "")


def _acronym(match: Match[str]) -> str:
    word, plural_s = match["word"], match["plural"] or ""
    lower = word.lower()
    if word in t.SPOKEN_ACRONYMS:
        return t.SPOKEN_ACRONYMS[word] + plural_s
    if word in t.WORD_ACRONYMS or lower in t.SHORT_WORDS:
        return lower + plural_s
    if word not in t.LETTER_ACRONYMS and len(word) > 3 and _looks_like_word(lower):
        return lower + plural_s
    return " ".join(lower) + (f"'{plural_s}" if plural_s else "")


def _looks_like_word(word: str) -> bool:
    """With vowels, and no more than three consonants in a row, two of them at the start."""
    runs = re.findall(r"[^aeiouy]+", word)
    first = re.match(r"[^aeiouy]*", word)
    return (
        bool(re.search(r"[aeiouy]", word))
        and max(map(len, runs), default=0) <= 3
        and (first is None or len(first[0]) <= 3)
    )


def _letters_and_digits(match: Match[str]) -> str:
    """``A4``, ``MP3``, ``B2B``: parts by themselves, short capitals by their letters."""
    parts = re.findall(r"[A-Za-z]+|\d+", match[0])
    spelled = [
        _number_or_digits(part)
        if part.isdigit()
        else " ".join(part.lower())
        if part.isupper() or len(part) < 2
        else part
        for part in parts
    ]
    return " ".join(spelled)


def _dotted(match: Match[str]) -> str:
    """``3.11.2``, ``192.168.0.1``: versions and addresses."""
    return " dot ".join(_number_or_digits(part) for part in match[0].split("."))


def _or(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_CALENDAR = {
    short: name
    for short, name in (t.MONTH_NAMES | t.DAYS).items()
    if short not in {*t.MONTHS, "sun", "sat"}
}
_MONTH = rf"(?P<month>(?:{_or(t.MONTH_NAMES)})\b\.?)"
_YEAR = r"(?P<year>1\d{3}|20\d\d)"
_AMOUNT = r"(?P<amount>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_NOT_AFTER = r"(?<![\w.,])"
_FULL_STOP = r"(?P<end>(?=\s*$|\s+(?-i:[A-Z])|\s*\n))?"


def _rule(pattern: str, replace: Callable[[Match[str]], str] | str, flags: int = re.I) -> Rule:
    if isinstance(replace, str):
        text = replace
        return re.compile(pattern, flags), lambda match: match.expand(text)
    return re.compile(pattern, flags), replace


RULES: list[Rule] = [
    # Addresses
    _rule(r"\b[a-z][a-z+.-]*://[^\s<>\"')]*[^\s<>\"').,;:!?]", _address),
    _rule(r"(?<![\w.])[\w.+-]+@[\w-]+(?:\.[\w-]+)+", _address, re.I | re.A),
    _rule(r"(?<![\w@.])(?:www\.[\w-]+(?:\.[\w-]+)*|[a-z][\w-]*(?:\.[\w-]+)*\."
          r"(?:com|org|net|edu|gov|io|co\.uk|info|ai|dev))(?:/[^\s<>\"']*[\w/])?(?![\w@])",
          _address, re.I | re.A),
    # Dates
    _rule(_NOT_AFTER + r"(?:(?P<iso>\d{4})-(?P<isomonth>\d\d)-(?P<isoday>\d\d)"
          r"|(?P<first>\d{1,2})(?P<slash>[/.])(?P<second>\d{1,2})(?P=slash)(?P<last>\d{4}|\d\d))"
          r"(?![\w/-]|\.\d)", _date_in_figures),
    _rule(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR}(?!\w))?",
          _day_month),
    _rule(rf"\b{_MONTH}\s+(?P<day>[12]?\d|3[01])(?:st|nd|rd|th)?(?![\w:]|\.\d)(?:,?\s+{_YEAR}(?!\w))?",
          _month_day),
    # Times
    _rule(r"(?<![\w:.])(?P<hour>2[0-3]|[01]?\d):(?P<minute>[0-5]\d)(?::[0-5]\d)?"
          r"(?:\s?(?P<half>[ap]\.?m\b\.?))?(?![\w:])", _clock),
    _rule(r"(?<![\w:.])(?P<hour>1[0-2]|\d)(?P<minute>(?!))?\s?(?P<half>[ap]\.?m\b\.?)", _clock),
    # Telephone numbers
    _rule(r"(?<![\w.])(?:\+\d{1,3}[\s.-]?(?:\(?\d{1,4}\)?[\s.-]?){2,5}\d{2,4}"
          r"|(?:1[\s.-])?(?:\(\d{3}\)\s?|\d{3}[.-])\d{3}[.-]\d{4}|\d{3}-\d{4})(?![\w-])", _phone),
    # Amounts
    _rule(r"(?<!\w)(?:(?P<long>1[1-9]\d0|20\d0)|'?(?P<short>[2-9]0))'?s\b", _decade),
    _rule(r"\b24/7\b", "twenty four seven"),
    _rule(r"(?<![\w.])(\d+)'\s?(\d+)\"", r"\1 foot \2"),
    _rule(r"(?<![\w.])(\d+)'(?!\w)", r"\1 feet"),
    _rule(rf"(?P<sign>[{''.join(t.CURRENCIES)}])\s?{_AMOUNT}"
          rf"(?:(?P<scale>\s?(?:thousand|million|billion|trillion)\b|(?:bn|mn|k|m|b)\b))?",
          _money),
    _rule(r"(?<![\w.])(\d+)\s?¢", _cents),
    _rule(r"(?<![\w.,])(?P<whole>\d+)?(?(whole)[ -])(?P<top>\d+)/(?P<bottom>\d+)(?![\w/]|\.\d)",
          _fraction),
    _rule(rf"{_NOT_AFTER}-(?=\.?\d)", "minus ", 0),
    _rule(r"(?<=\d)\s?-\s?(?=[$€£]?\d)", " to ", 0),
    _rule(r"(?<=\d)\s?[x×]\s?(?=\d)", " by "),
    _rule(r"(?<=\d)x\b", " times"),
    _rule(rf"(?<![\w.]){_AMOUNT}(?:\s?-?\s?(?P<unit>{_or(u for u in t.UNITS if len(u) > 1)})"
          rf"|(?P<short>\s?(?:[%°])|(?:[mgslhwvMGSLHWV])|\s(?:[mglvw])))(?![\w'])", _measure),
    _rule(r"\b(\d{1,15})(?:st|nd|rd|th)\b", lambda match: ordinal(int(match[1]))),
    _rule(r"\b(?:nos?|#)\.?\s?(?=\d)|#(?=\d)", "number "),
    _rule(r"\bpp?\.\s?(?=\d)", "page "),
    _rule(r"(?<![\w.])\d+(?:\.\d+){2,}(?![\w])", _dotted),
    _rule(r"\b(?P<before>[A-Za-z]+)\s(?P<numeral>(?=[IVX]{1,5}\b)X{0,2}(?:IX|IV|V?I{0,3}))\b",
          _numeral, 0),
    # Words
    _rule(r"(?<!\w)(?:" + _or(t.DOTTED) + r")(?!\w)",
          lambda m: t.DOTTED[m[0].lower()]),
    _rule(rf"\b(?P<word>(?i:{_or(t.TITLES | t.BEFORE_NAME)}))\.\s*(?=[A-Z])", _titled_with_stop, 0),
    _rule(r"\b(?P<word>Mr|Mrs|Dr|Prof|mr|mrs|dr|prof)\b\.?\s*(?=[A-Za-z])", _titled, 0),
    _rule(rf"\b(?P<word>{_or(t.AFTER_NAME | t.ABBREVIATIONS)})\.{_FULL_STOP}(?!\w)",
          _abbreviation),
    _rule(rf"\b(?P<word>{_or(_CALENDAR)})\.(?=\s|,|$)", _calendar),
    _rule(r"\b(?:[A-Za-z]\.){2,}", _initials, 0),
    _rule(r"(?<=\b[A-Z])\.(?=\s?[A-Z])", " ", 0),
    _rule(r"\b(?=\w*\d)(?=\w*[A-Za-z])[A-Za-z\d]+(?:-\d+)?\b", _letters_and_digits, re.A),
    _rule(r"(?<=[A-Za-z])-(?=\d)|(?<=\d)-(?=[A-Za-z])", " ", 0),
    _rule(r"\b(?P<word>[A-Z]{2,})(?P<plural>s)?\b", _acronym, 0),
    # What is left
    _rule(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|(?<![\w])\.\d+", _number, re.A),
    _rule(r"\b(and)/(or)\b", r"\1 \2"),
    _rule(r"(?<=[A-Za-z])/(?=[A-Za-z])", " slash ", 0),
    _rule("[" + re.escape("".join(t.SYMBOLS)) + "]", lambda m: f" {t.SYMBOLS[m[0]]} "),
    _rule(r"\s*[()\[\]{}]\s*", ", ", 0),
    _rule(r"_+|\*+|\"|\||\\|/|\^|~", " ", 0),
]  # fmt: skip
