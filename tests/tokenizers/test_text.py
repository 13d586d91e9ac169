"""Text to pieces: nothing is unknown, and it comes back normalised."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.data import texts
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.text import BYTES, KINDS, TextTokenizer

LINES = ["Enter fifty four", "G A R L A N D", "ninth of September", "Größe", "семь"] * 4


@cache
def tokenizer(kind: str = "char", size: int = 300) -> TextTokenizer:
    return TextTokenizer.train(LINES, kind, size)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_seen_is_no_bytes(kind: str) -> None:
    made = tokenizer(kind)
    assert BYTES < made.size <= 300
    for line in LINES:
        pieces = made.encode(line)
        # Piece 0 is for what no text has; then come the bytes.
        assert min(pieces) > BYTES
        assert max(pieces) < made.size
        assert made.decode(pieces) == line.lower()


def test_a_character_is_a_piece() -> None:
    made = tokenizer("char")
    letters = len({letter for line in LINES for letter in line.lower()})
    assert made.size == 1 + BYTES + letters
    assert len(made.encode("fifty four")) == 1 + len("fifty four")  # sentencepiece's leading space


@given(text=st.text(max_size=30))
def test_no_text_is_unknown(text: str) -> None:
    for kind in KINDS:
        made = tokenizer(kind)
        pieces = made.encode(text)
        assert 0 not in pieces
        once = made.decode(pieces)
        assert made.normalise(once) == once
        assert "\ufffd" not in once.replace(" ", "") or "\ufffd" in text


@given(pieces=st.lists(st.integers(0, 290), max_size=20))
def test_any_pieces_are_some_text(pieces: list[int]) -> None:
    made = tokenizer("char")
    assert isinstance(made.decode([each % made.size for each in pieces]), str)


def test_case_may_be_kept() -> None:
    made = TextTokenizer.train(LINES, "char", 300, lower=False)
    assert made.normalise("Enter  A") == "Enter A"


def test_training_is_repeatable_and_the_file_gives_it_back(tmp_path: Path) -> None:
    for kind in KINDS:
        made = tokenizer(kind)
        assert TextTokenizer.train(LINES, kind, 300).model == made.model
        made.save(tmp_path / "text.model")
        assert TextTokenizer.load(tmp_path / "text.model").model == made.model


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.model").write_text("no model\n")
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(bytes(20))
    for call, says in (
        (lambda: TextTokenizer.train(LINES, "word"), "kind is char, unigram, bpe, not word"),
        (lambda: TextTokenizer.train(["", " "]), "no text to train a tokenizer on"),
        (lambda: TextTokenizer.train(LINES, "bpe", 260), "a text tokenizer of 260 pieces: "),
        (lambda: TextTokenizer.load(tmp_path / "text.model"), "not a sentencepiece model"),
        (lambda: TextTokenizer.load(tmp_path / "empty"), "empty: not a sentencepiece model"),
        (lambda: TextTokenizer.load(tmp_path / "none"), "none: no such file; make one with"),
        (lambda: texts.read(tmp_path / "none"), "no such tokenized corpus or file of text"),
        (lambda: texts.read(tmp_path / "binary"), "binary: not a text"),
    ):
        with pytest.raises(SpeechLMError, match=says) as no:
            call()
        assert "\n" not in str(no.value)
