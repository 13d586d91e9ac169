"""Frames, runs and pieces: what one writes, it reads again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.serialization import (
    FrameTokens,
    RunLength,
    SerializationConfig,
    UnitBPE,
    build,
    runs,
)

UNITS = 6
units = st.lists(st.integers(0, UNITS - 1), max_size=40).map(lambda each: np.array(each, np.int64))


@cache
def pieces() -> UnitBPE:
    random = np.random.default_rng(0)
    said = [np.repeat(random.permutation(4), random.integers(1, 4, 4)) for _ in range(50)]
    return UnitBPE.train([np.concatenate([each, each]) for each in said], UNITS, 16)


@given(units)
def test_frames_and_runs_lose_nothing(spoken: np.ndarray) -> None:
    for form in (FrameTokens(UNITS), RunLength(UNITS)):
        codes = form.write(spoken)
        assert codes.shape[0] == form.num_codebooks
        assert codes.dtype == np.int64
        assert not codes.size or 0 <= codes.min() <= codes.max() < form.codebook_size
        kept, lengths = form.read(codes)
        assert lengths is not None
        np.testing.assert_array_equal(np.repeat(kept, lengths), spoken)


@given(units)
def test_without_durations_runs_are_left(spoken: np.ndarray) -> None:
    kept, lengths = runs(spoken)
    assert not (np.diff(kept) == 0).any()
    assert lengths.sum() == len(spoken)
    found, unknown = RunLength(100).read(RunLength(100).write(spoken)[:1])
    assert unknown is None
    np.testing.assert_array_equal(found, kept)
    # Units 4 and 5 were never seen in training.
    codes = pieces().write(spoken)
    assert not codes.size or 0 <= codes.min() <= codes.max() < pieces().codebook_size
    found, unknown = pieces().read(codes)
    assert unknown is None
    np.testing.assert_array_equal(found, kept)


def test_pieces_are_fewer(tmp_path: Path) -> None:
    form = pieces()
    assert UNITS < form.codebook_size <= 16
    said = np.tile(np.arange(4), 10)
    assert form.write(said).shape[1] < len(said)
    form.save(tmp_path)
    again = build(SerializationConfig("pieces"), UNITS, tmp_path)
    np.testing.assert_array_equal(again.write(said), form.write(said))


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    for call, says in (
        (
            lambda: build(SerializationConfig("words"), UNITS),
            "form.kind is one of frames, runs, pieces",
        ),
        (lambda: build(SerializationConfig("pieces"), UNITS, tmp_path), "no model of pieces"),
        (lambda: UnitBPE.train([np.arange(3)], 50, 10), "form.pieces=10 of 50 units"),
    ):
        with pytest.raises(SpeechLMError, match=says) as no:
            call()
        assert "\n" not in str(no.value)
