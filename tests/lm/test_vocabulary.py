"""The joint vocabulary: a layout that stays, in one file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from speechlm.errors import SpeechLMError
from speechlm.lm.vocabulary import FILE, SPECIALS, Vocabulary
from speechlm.tokenizers.base import Units


def units(num_codebooks: int = 3, codebook_size: int = 16) -> Units:
    return Units("toy", "01234567", 16000, 320, num_codebooks, codebook_size)


def test_the_layout_is_this_for_ever() -> None:
    vocabulary = Vocabulary(30, units())
    assert [vocabulary.id(name) for name in SPECIALS] == list(range(8))
    assert SPECIALS == (
        "<pad>", "<speech>", "<text>", "<generate speech>", "<generate text>",
        "<end of speech>", "<end of text>", "<end>",
    )  # fmt: skip
    assert vocabulary.text == range(8, 38)
    assert [vocabulary.level(k) for k in range(3)] == [
        range(38, 54), range(54, 70), range(70, 86),
    ]  # fmt: skip
    assert vocabulary.size == 86
    assert vocabulary.from_pieces([0, 29]).tolist() == [8, 37]
    assert vocabulary.from_codes(np.array([[0, 15], [1, 2], [3, 4]], np.uint16)).tolist() == [
        [38, 53], [55, 56], [73, 74],
    ]  # fmt: skip


@given(
    num_codebooks=st.integers(1, 12), pieces=st.integers(0, 500), codebook_size=st.integers(1, 1024)
)
def test_every_id_is_of_one_part(num_codebooks: int, pieces: int, codebook_size: int) -> None:
    vocabulary = Vocabulary(pieces, units(num_codebooks, codebook_size))
    parts = [
        range(len(SPECIALS)),
        vocabulary.text,
        *(vocabulary.level(k) for k in range(num_codebooks)),
    ]
    assert [each for part in parts for each in part] == list(range(vocabulary.size))


@given(
    codes=hnp.arrays(
        np.uint16, st.tuples(st.just(3), st.integers(0, 9)), elements=st.integers(0, 15)
    ),
    pieces=st.lists(st.integers(0, 29)),
)
def test_ids_turn_back(codes: np.ndarray, pieces: list[int]) -> None:
    vocabulary = Vocabulary(30, units())
    np.testing.assert_array_equal(vocabulary.to_codes(vocabulary.from_codes(codes)), codes)
    assert vocabulary.to_pieces(vocabulary.from_pieces(pieces)) == pieces


def test_the_file_gives_it_back(tmp_path: Path) -> None:
    older = Vocabulary(30, units(), SPECIALS[:5])
    for vocabulary in (Vocabulary(30, units()), older):
        vocabulary.save(tmp_path)
        assert Vocabulary.load(tmp_path) == vocabulary
    with pytest.raises(SpeechLMError, match="this model has no <end>; it has <pad>, <speech>"):
        older.id("<end>")


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match=r"vocabulary\.json: no such file; is .* a language"):
        Vocabulary.load(tmp_path)
    path = Vocabulary(30, units()).save(tmp_path)
    good = json.loads(path.read_text())
    for wrong in (
        [],
        {**good, "levels": good["levels"][:2]},
        {**good, "text": [9, 39]},
        {**good, "format": 2},
        {**good, "units": {"model": "toy"}},
    ):
        (tmp_path / FILE).write_text(json.dumps(wrong))
        with pytest.raises(SpeechLMError, match=r"vocabulary\.json: not a vocabulary: ") as no:
            Vocabulary.load(tmp_path)
        assert "\n" not in str(no.value)
