"""Tasks: the exact tokens of each, where the loss is, and what tokens say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.lm.patterns import PATTERNS, pattern
from speechlm.lm.tasks import TASKS, Example, Span, TokenLayout, task
from speechlm.lm.vocabulary import Vocabulary
from speechlm.tokenizers.base import Units

# Specials 0 to 7; text 8 to 17; level 0: 18 to 22; level 1: 23 to 27.
PAD, SPEECH, TEXT, SAY, WRITE, SPOKEN, WRITTEN, END = range(8)
VOCABULARY = Vocabulary(10, Units("toy", "01234567", 16000, 320, 2, 5))

HELLO = np.array([[0, 1, 2], [4, 3, 2]])  # becomes 18 19 20 over 27 26 25
VOICE = np.array([[4], [0]])  # becomes 22 over 23
EXAMPLE = Example(
    speech=HELLO,
    text=[1, 9],  # becomes 9 17
    voice=VOICE,
    spans=(Span("text", [5]), Span("speech", VOICE), Span("text", [6, 7])),
)

DEPTH = {
    "speech": (
        [[SAY, 18, 19, 20, SPOKEN], [0, 27, 26, 25, 0]],
        [[0, 1, 1, 1, 1], [0, 1, 1, 1, 0]],
    ),
    "text": (
        [[WRITE, 9, 17, WRITTEN], [0, 0, 0, 0]],
        [[0, 1, 1, 1], [0, 0, 0, 0]],
    ),
    "asr": (
        [[SPEECH, 18, 19, 20, WRITE, 9, 17, WRITTEN], [0, 27, 26, 25, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0]],
    ),
    "tts": (
        [[TEXT, 9, 17, SAY, 18, 19, 20, SPOKEN], [0, 0, 0, 0, 27, 26, 25, 0]],
        [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 0]],
    ),
    "tts-voice": (
        [
            [SPEECH, 22, TEXT, 9, 17, SAY, 18, 19, 20, SPOKEN],
            [0, 23, 0, 0, 0, 0, 27, 26, 25, 0],
        ],
        [[0, 0, 0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1, 1, 0]],
    ),
    "interleaved": (
        [
            [WRITE, 13, WRITTEN, SAY, 22, SPOKEN, WRITE, 14, 15, WRITTEN, END],
            [0, 0, 0, 0, 23, 0, 0, 0, 0, 0, 0],
        ],
        [[0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]],
    ),
    "tts-wordwise": (
        [
            [TEXT, 9, 17, WRITTEN, 13, SAY, 22, SPOKEN, 14, 15, SAY, 18, 19, 20, SPOKEN],
            [0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 27, 26, 25, 0],
        ],
        [
            [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0],
        ],
    ),
    "tts-wordwise-voice": (
        [
            [
                SPEECH, 22, TEXT, 9, 17, WRITTEN,
                13, SAY, 22, SPOKEN, 14, 15, SAY, 18, 19, 20, SPOKEN,
            ],
            [0, 23, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 27, 26, 25, 0],
        ],
        [
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0],
        ],
    ),
}  # fmt: skip

DELAY = {
    "tts-wordwise": (
        [
            [TEXT, 9, 17, WRITTEN, 13, SAY, 22, SPOKEN, 14, 15, SAY, 18, 19, 20, SPOKEN],
            [0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 27, 26, 25],
        ],
        [
            [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1],
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1],
        ],
    ),
    "speech": (
        [[SAY, 18, 19, 20, SPOKEN], [0, 0, 27, 26, 25]],
        [[0, 1, 1, 1, 1], [0, 0, 1, 1, 1]],
    ),
    "asr": (
        [[SPEECH, 18, 19, 20, 0, WRITE, 9, 17, WRITTEN], [0, 0, 27, 26, 25, 0, 0, 0, 0]],
        [[0, 0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ),
}  # fmt: skip

WORDS = Example(
    text=[1, 9],
    voice=VOICE,
    spans=(Span("text", [5]), Span("speech", VOICE), Span("text", [6, 7]), Span("speech", HELLO)),
)
"""What is read, word by word."""


def example(name: str) -> Example:
    return WORDS if name.startswith("tts-wordwise") else EXAMPLE


FLATTEN = {
    "tts": (
        [[TEXT, 9, 17, SAY, 18, 27, 19, 26, 20, 25, SPOKEN]],
        [[0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]],
    ),
}


def layout(kind: str) -> TokenLayout:
    return TokenLayout(VOCABULARY, pattern(kind, 2))


def test_every_task_is_here() -> None:
    assert set(DEPTH) == set(TASKS)


@pytest.mark.parametrize(
    ("kind", "name", "tokens", "mask"),
    [
        (kind, name, *expected)
        for kind, table in (("depth", DEPTH), ("delay", DELAY), ("flatten", FLATTEN))
        for name, expected in table.items()
    ],
)
def test_the_tokens_are_exactly_these(
    kind: str, name: str, tokens: list[list[int]], mask: list[list[int]]
) -> None:
    sequence = layout(kind).sequence(task(name), example(name))
    assert sequence.tokens.tolist() == tokens
    assert sequence.mask.astype(int).tolist() == mask
    assert (sequence.tokens.dtype, sequence.mask.dtype) == (np.int64, np.bool_)


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("name", TASKS)
def test_a_prompt_is_what_comes_before_what_is_predicted(kind: str, name: str) -> None:
    made = layout(kind)
    one = example(name)
    prompt, sequence = made.prompt(task(name), one), made.sequence(task(name), one)
    np.testing.assert_array_equal(sequence.tokens[:, : prompt.shape[1]], prompt)
    first = int(np.flatnonzero(sequence.mask.any(axis=0))[0])
    told = made.word_prompt([5]).shape[1] if name.startswith("tts-wordwise") else 0
    assert first == max(prompt.shape[1] + told, 1)


def test_speech_that_was_cut_short_does_not_end() -> None:
    cut = Example(speech=HELLO, complete=False)
    assert layout("depth").sequence(task("speech"), cut).tokens[0].tolist() == [SAY, 18, 19, 20]
    delayed = layout("delay").sequence(task("speech"), cut).tokens
    assert delayed.tolist() == [[SAY, 18, 19, 20, PAD], [PAD, PAD, 27, 26, 25]]


@st.composite
def examples(draw: st.DrawFn) -> tuple[TokenLayout, Example]:
    num_codebooks = draw(st.integers(1, 4))
    units = Units("toy", "01234567", 16000, 320, num_codebooks, 5)
    made = TokenLayout(
        Vocabulary(10, units), pattern(draw(st.sampled_from(sorted(PATTERNS))), num_codebooks)
    )
    random = np.random.default_rng(draw(st.integers(0, 999)))

    def speech(least: int) -> np.ndarray:
        return random.integers(0, 5, (num_codebooks, draw(st.integers(least, 5))))

    pieces = st.lists(st.integers(0, 9), min_size=1, max_size=4)
    spans = []
    for number in range(draw(st.integers(1, 4))):
        spans.append(Span("speech", speech(1)) if number % 2 else Span("text", draw(pieces)))
    return made, Example(speech(0), draw(pieces), speech(1), tuple(spans))


@given(made=examples(), name=st.sampled_from(sorted(TASKS)))
def test_tokens_say_what_was_said(made: tuple[TokenLayout, Example], name: str) -> None:
    layout, example = made
    found = layout.spans(layout.sequence(task(name), example).tokens)
    expected = {
        "speech": [example.speech],
        "text": [example.text],
        "asr": [example.speech, example.text],
        "tts": [example.text, example.speech],
        "tts-voice": [example.voice, example.text, example.speech],
        "interleaved": [span.content for span in example.spans],
        "tts-wordwise": [example.text, *(span.content for span in example.spans)],
        "tts-wordwise-voice": [
            example.voice,
            example.text,
            *(span.content for span in example.spans),
        ],
    }[name]
    expected = [each for each in expected if np.size(each)]
    assert [np.asarray(span.content).tolist() for span in found] == [
        np.asarray(each).tolist() for each in expected
    ]
    assert [span.kind for span in found] == [
        "text" if isinstance(each, list) else "speech" for each in expected
    ]


@given(made=examples(), name=st.sampled_from(sorted(TASKS)))
def test_lengths_are_known_before(made: tuple[TokenLayout, Example], name: str) -> None:
    layout, example = made
    if name.startswith("tts-wordwise"):
        pairs = list(zip(example.spans[::2], example.spans[1::2], strict=False))
        frames = sum(speech.content.shape[1] for _, speech in pairs)
        pieces = [piece for text, _ in pairs for piece in text.content]
        said = Example(text=pieces, voice=example.voice, spans=tuple(itertools.chain(*pairs)))
        length = layout.sequence(task(name), said).tokens.shape[1]
        assert length <= layout.columns(task(name), frames, len(pieces), example.voice.shape[1])
    elif name != "interleaved":
        assert layout.sequence(task(name), example).tokens.shape[1] == layout.columns(
            task(name), example.speech.shape[1], len(example.text), example.voice.shape[1]
        )


@given(made=examples(), at=st.integers(0, 30))
def test_tokens_may_stop_anywhere(made: tuple[TokenLayout, Example], at: int) -> None:
    """As generation does: the frames that are whole by then are given, and no other."""
    layout, example = made
    tokens = layout.sequence(task("speech"), example).tokens[:, : at + 1]
    found = layout.spans(tokens)
    frames = found[0].content.shape[1] if found else 0
    least = next(f for f in range(at, -1, -1) if layout.pattern.columns(f) <= at)
    assert frames == min(least, example.speech.shape[1])
    if frames:
        np.testing.assert_array_equal(found[0].content, example.speech[:, :frames])


def test_a_frame_with_a_code_of_another_level_ends_the_speech() -> None:
    made = layout("depth")
    tokens = made.sequence(task("speech"), Example(speech=HELLO)).tokens
    tokens[1, 2] = tokens[0, 2]
    assert made.spans(tokens)[0].content.tolist() == [[0], [4]]


def test_other_tasks_and_levels_are_refused() -> None:
    with pytest.raises(SpeechLMError, match="a task is one of speech, text, asr, tts, tts-voice"):
        task("translate")
    with pytest.raises(ValueError, match="3 levels, but units of 2"):
        TokenLayout(VOCABULARY, pattern("depth", 3))
