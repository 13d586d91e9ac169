"""Reading written English: a table of examples, and what holds of any text."""

from __future__ import annotations

import string
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.text import numbers
from speechlm.text.normalize import normalize, to_words
from speechlm.text.sentences import split_sentences

EXAMPLES = {
    # Numbers
    "I have 42 apples, 1,234.50 and -5.": "I have forty two apples, one thousand two hundred "
    "thirty four point five zero and minus five.",
    "007 and 12345678": "zero zero seven and one two three four five six seven eight",
    "the 1st, 2nd, 3rd, 21st and 100th": "the first, second, third, twenty first and one hundredth",
    "1/2 cup, 2 1/2 cups, 3/4 of it, ½, 2½": "one half cup, two and a half cups, three quarters of "
    "it, one half, two and a half",
    "pages 5-10, No. 5, #7": "pages five to ten, number five, number seven",
    "version 3.11.2": "version three dot eleven dot two",
    "5x faster, 3x4": "five times faster, three by four",
    "1000000 or 1,000,000": "one million or one million",
    # Money
    "It cost $5.30.": "It cost five dollars and thirty cents.",
    "a $1 bill, $0.99, £1.01": "a one dollar bill, ninety nine cents, one pound and one penny",
    "made $3 million, $2.5bn or $400k": "made three million dollars, two point five billion "
    "dollars or four hundred thousand dollars",
    "€20 and ¥500": "twenty euros and five hundred yen",
    # Dates and times
    "Nov. 30, 2026": "november thirtieth, twenty twenty six",
    "on 11/30/2026 and 2026-11-30": "on november thirtieth, twenty twenty six and november "
    "thirtieth, twenty twenty six",
    "of 30 November 1905": "of thirtieth of november nineteen oh five",
    "the 4th of July": "the fourth of july",
    "the 1990s, the '80s": "the nineteen nineties, the eighties",
    "in 2005, 1900 and 2000": "in two thousand five, nineteen hundred and two thousand",
    "at 5:30 p.m. or 5:05 am": "at five thirty p m or five oh five a m",
    "by 5:00, 17:45 or 3pm": "by five o'clock, seventeen forty five or three p m",
    # Units
    "10km in 5 min at 3.5 mph": "ten kilometers in five minutes at three point five miles per hour",
    "20°C, 50% and 1 kg": "twenty degrees celsius, fifty percent and one kilogram",
    # Abbreviations and acronyms
    "Dr. Smith lives at 12 Elm St. in St. Paul.": "doctor Smith lives at twelve Elm street in "
    "saint Paul.",
    "Mr. and Mrs. Jones Jr. said, e.g. this": "mister and missus Jones junior said, for example "
    "this",
    "NASA and the FBI, the U.S. and NATO": "nasa and the f b i, the u s and nato",
    "STOP it, said two CEOs": "stop it, said two c e o's",
    "World War II, Henry VIII": "World war two, Henry the eighth".replace("war", "War"),
    "an A4 sheet, an MP3, COVID-19": "an a four sheet, an m p three, covid nineteen",
    "ENTER TWO NINE": "enter two nine",
    "FBI": "f b i",
    # Addresses and telephone numbers
    "mail john.doe@example.co.uk": "mail john dot doe at example dot c o dot u k",
    "see https://www.example.com/path.": "see w w w dot example dot com slash path.",
    "call (555) 123-4567 or 555-0199": "call five five five, one two three, four five six seven or "
    "five five five, oh one nine nine",
    "ring +44 20 7946 0958": "ring plus four four, two oh, seven nine four six, oh nine five eight",
    # Punctuation and symbols
    "It's 'quoted' and \u201cso\u201d \u2013 well-known\u2026": "It's quoted and so, well-known.",
    "wait... what?! (really)": "wait. what? really",
    "x = y & z @ home": "x equals y and z at home",
    "and/or he/she": "and or he slash she",
    "the café, naïve": "the cafe, naive",
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples(text: str) -> None:
    assert normalize(text).text.rstrip(",") == EXAMPLES[text]
    assert not normalize(text).unreadable


WORDS = st.lists(
    st.text(string.ascii_lowercase, min_size=1, max_size=9), min_size=1, max_size=8
).map(" ".join)


@settings(deadline=None)
@given(WORDS)
def test_plain_words_stay(text: str) -> None:
    assert normalize(text).text == text


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60))
def test_any_text_becomes_letters_and_punctuation(text: str) -> None:
    found = normalize(text).text
    assert set(found) <= set(string.ascii_letters + " '-.,?!;:")
    assert "  " not in found and found == found.strip()


@settings(deadline=None, max_examples=300)
@given(st.text("0123456789.,:/-$€%' abkmstAMS", max_size=30))
def test_every_digit_is_read(text: str) -> None:
    """Whatever surrounds it; nothing is silent, and nothing raises."""
    found = normalize(text).text
    assert not any(each.isdigit() for each in found)
    assert not any(each.isdigit() for each in text) or any(each.isalpha() for each in found)


@settings(deadline=None, max_examples=200)
@given(st.text("0123456789.,:/-$% abcDE.!?", max_size=40))
def test_what_is_read_is_read_the_same_again(text: str) -> None:
    once = normalize(text).text.lower()
    assert normalize(once).text.replace(",", "").split() == once.replace(",", "").split()


SMALL = {numbers.cardinal(number): number for number in range(100)}
SCALES = {name: 1000**power for power, name in enumerate(numbers.SCALES) if name}


def value(words: str) -> int:
    """The number that is read so."""
    total = group = 0
    for word in words.split():
        if word in SCALES:
            total += group * SCALES[word]
            group = 0
        elif word == "hundred":
            group *= 100
        else:
            group += SMALL[word]
    return total + group


@given(st.integers(0, numbers.LIMIT - 1))
def test_cardinals_say_the_number(number: int) -> None:
    assert value(numbers.cardinal(number)) == number
    assert numbers.cardinal(-number - 1) == "minus " + numbers.cardinal(number + 1)


def test_ordinals_and_years() -> None:
    assert [numbers.ordinal(number) for number in (0, 1, 12, 20, 32, 1000)] == [
        "zeroth", "first", "twelfth", "twentieth", "thirty second", "one thousandth",
    ]  # fmt: skip
    assert len({numbers.year(number) for number in range(1000, 3000)}) == 2000


def test_what_cannot_be_read() -> None:
    with pytest.warns(UserWarning, match="GRINNING FACE".lower()):
        assert to_words("hello \U0001f600 world") == "hello world"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_words("hello, world") == "hello, world"
    for text in ("Привет", "\U0001f600", "你好", "\U0001f468\u200d\U0001f469"):
        with pytest.raises(SpeechLMError, match="no English text") as error:
            to_words(text)
        assert "\n" not in str(error.value)
    for text in ("", "  ", "..."):
        with pytest.raises(SpeechLMError, match="no text"):
            to_words(text)


def test_sentences() -> None:
    text = (
        'Dr. Smith went to St. Paul. He paid $5.30! "Really?" she asked. It was 5 p.m. Then J. R. '
        "left. See No. 5. It is approx. Mr. Jones Jr. and co. or etc. as it was. The end is here"
        "\n\nA heading\n\nMore."
    )
    assert split_sentences(text) == [
        "Dr. Smith went to St. Paul.",
        "He paid $5.30!",
        '"Really?" she asked.',
        "It was 5 p.m.",
        "Then J. R. left.",
        "See No. 5.",
        "It is approx. Mr. Jones Jr. and co. or etc. as it was.",
        "The end is here",
        "A heading",
        "More.",
    ]
    assert split_sentences(" ") == []


@settings(deadline=None)
@given(st.text("aB1.!? \n\"'", max_size=40))
def test_sentences_have_all_words(text: str) -> None:
    assert " ".join(split_sentences(text)).split() == text.split()
