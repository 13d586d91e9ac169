"""The language model of text: its probabilities, and its file."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.text.backoff import Backoff
from speechlm.text.kneser_ney import KneserNey
from speechlm.text.lm import SPECIALS, TextLM, _estimate, words_of

TEXTS = ["The cat sat on the mat.", "A cat ate the rat.", "The rat sat on a mat!"] * 3


@pytest.fixture(scope="module")
def model() -> TextLM:
    return TextLM.train(TEXTS)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.lists(st.integers(3, 6), max_size=6), min_size=1, max_size=8),
    st.floats(0, 3),
    st.lists(st.integers(1, 6), max_size=2),
)
def test_probabilities_add_up_to_one(
    lines: list[list[int]], least: float, context: list[int]
) -> None:
    """Within the rounding to bytes, however much is pruned."""
    found = _estimate(lines, 7, 3).pruned(least)
    total = sum(math.exp(found.log_probability(symbol, tuple(context))) for symbol in range(7))
    assert total == pytest.approx(1, abs=0.08)


def test_without_pruning_probabilities_are_kneser_ney() -> None:
    lines = [[3, 4, 3, 5], [4, 4, 5], [3, 5, 5, 4]]
    found = _estimate(lines, 6, 3).pruned(-math.inf)
    flat = [symbol for line in lines for symbol in [1, *line, 2]]
    past = [[flat[n - 1], flat[n - 2] if flat[n - 1] != 1 else 6] for n in range(len(flat)) if n]
    said = [n - 1 for n in range(1, len(flat)) if flat[n] != 1]
    symbols, contexts = np.array(flat[1:])[said], np.array(past)[said]
    exact = KneserNey(symbols, contexts, 6)
    for symbol, (near, far) in zip(symbols, contexts, strict=True):
        if far < 6:
            wanted = math.log(exact.probability(np.array([symbol]), np.array([[near, far]]))[0])
            assert found.log_probability(int(symbol), (far, near)) == pytest.approx(
                wanted, abs=0.05
            )


def test_what_was_written_is_likelier(model: TextLM) -> None:
    for good, bad in (
        ("the cat sat on the mat", "the cat mat on the sat"),
        ("the cat", "the caat"),
    ):
        assert model.log_probability(good) > model.log_probability(bad)


@settings(deadline=None)
@given(st.text("acehmorst' ", max_size=12))
def test_a_text_is_scored_however_it_is_cut(model: TextLM, text: str) -> None:
    state = model.begin()
    for letter in text:
        state = model.extend(state, letter)
    assert model.finish(state) == model.finish(model.extend(model.begin(), text))
    assert state.now <= 1e-9


def test_first_letters_foretell_words(model: TextLM) -> None:
    """Of all words together: what begins as none does is less probable."""
    state = model.begin()
    assert model.extend(state, "ca").now > model.extend(state, "cx").now


def test_words_are_read_as_text_is_said() -> None:
    assert words_of("chapter IIII.") == ["chapter", "iiii"]  # no numeral
    assert words_of("Dr. Lee's 2 cats -- they're well-fed!") == [
        "doctor", "lee's", "two", "cats", "they're", "well", "fed",
    ]  # fmt: skip


def test_a_file_gives_the_same_model(model: TextLM, tmp_path: Path) -> None:
    paths = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    sizes = [model.save(path) for path in paths]
    assert sizes[0] == paths[0].stat().st_size
    assert paths[0].read_bytes() == paths[1].read_bytes()
    loaded = TextLM.load(paths[0])
    for text in ("the cat sat", "a zebra ate it"):
        assert loaded.log_probability(text) == model.log_probability(text)


def test_pruning_keeps_to_the_size(tmp_path: Path) -> None:
    words = ["".join(each) for each in itertools.product("bcdfghkl", "aeiou", "nrst")]
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(words, 8)) for _ in range(1500)]
    sizes = [
        TextLM.train(texts, size).save(tmp_path / f"{size}.safetensors")
        for size in (20_000, 30_000)
    ]
    assert sizes[0] <= 20_000 < sizes[1] <= 30_000


def test_no_words_and_too_few_bytes_are_refused() -> None:
    with pytest.raises(SpeechLMError, match="no text with English words"):
        TextLM.train(["...", "", "?"])
    with pytest.raises(SpeechLMError, match="so few bytes"):
        TextLM.train(TEXTS, size=10)


def test_damaged_files_are_refused_in_a_line(model: TextLM, tmp_path: Path) -> None:
    path = tmp_path / "lm.safetensors"
    with pytest.raises(SpeechLMError, match="no such file"):
        TextLM.load(path)
    model.save(path)
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:-40],
        whole[:-60] + bytes(60),
        whole.replace(b"text-lm 1", b"text-lm 9"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(SpeechLMError, match="not a text language model"):
            TextLM.load(path)


def test_counts_that_do_not_fit_are_refused(model: TextLM) -> None:
    arrays = model._words.arrays("words")
    arrays["words.1.children"] = arrays["words.1.backoff"]
    with pytest.raises(ValueError, match=r"words|reshape"):
        Backoff.from_arrays("words", arrays)


def test_unknown_words_are_spelled(model: TextLM) -> None:
    assert model.finish(model.extend(model.begin(), "tac")).words[-1] < SPECIALS
