"""Layouts of frames of several levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from speechlm.errors import SpeechLMError
from speechlm.lm.patterns import NO_TOKEN, PATTERNS, pattern
from speechlm.types import Codes

kinds = st.sampled_from(sorted(PATTERNS))
shapes = st.tuples(st.integers(1, 6), st.integers(0, 9))
codes = shapes.flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(0, 1023)))


@given(kinds, codes)
def test_revert_undoes_build(kind: str, codes: Codes) -> None:
    num_codebooks, frames = codes.shape
    layout = pattern(kind, num_codebooks)
    laid = layout.build(codes)
    assert laid.shape == (layout.rows, layout.columns(frames))
    assert np.array_equal(layout.revert(laid), codes)
    # Every code stands there once, and row 0 has none from the column of its end on.
    assert np.array_equal(np.sort(laid[laid != NO_TOKEN]), np.sort(codes, axis=None))
    assert (laid[0, : layout.end(frames)] != NO_TOKEN).all()
    assert (laid[0, layout.end(frames) :] == NO_TOKEN).all()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("depth", [[0, 1, 2], [10, 11, 12]]),
        ("delay", [[0, 1, 2, NO_TOKEN], [NO_TOKEN, 10, 11, 12]]),
        ("flatten", [[0, 10, 1, 11, 2, 12]]),
    ],
)
def test_pictures(kind: str, expected: list[list[int]]) -> None:
    codes = np.array([[0, 1, 2], [10, 11, 12]])
    assert pattern(kind, 2).build(codes).tolist() == expected


@given(kinds, codes)
def test_cells_say_what_a_column_holds(kind: str, codes: Codes) -> None:
    """So what decodes column by column fills the layout that training sees."""
    layout, frames = pattern(kind, len(codes)), codes.shape[1]
    laid = np.full((layout.rows, layout.columns(frames)), NO_TOKEN, np.int64)
    for column in range(laid.shape[1]):
        for row, codebook, frame in layout.cells(column):
            if 0 <= frame < frames:
                laid[row, column] = codes[codebook, frame]
    assert np.array_equal(laid, layout.build(codes))


@given(kinds, codes, st.integers(0, 8))
def test_later_frames_move_nothing(kind: str, codes: Codes, kept: int) -> None:
    """So frames can be laid out while they come."""
    kept = min(kept, codes.shape[1])
    layout = pattern(kind, len(codes))
    short, long = layout.build(codes[:, :kept]), layout.build(codes)
    width = short.shape[1]
    assert np.array_equal(short[short != NO_TOKEN], long[:, :width][short != NO_TOKEN])


def test_misuse() -> None:
    with pytest.raises(SpeechLMError, match="depth, delay, flatten, not spiral"):
        pattern("spiral", 2)
    with pytest.raises(SpeechLMError, match="one codebook or more"):
        pattern("depth", 0)
    for kind in PATTERNS:
        with pytest.raises(ValueError, match="shape"):
            pattern(kind, 3).build(np.zeros((2, 4), np.int64))
        with pytest.raises(ValueError, match="shape"):
            pattern(kind, 3).revert(np.zeros((2, 4), np.int64))
    with pytest.raises(ValueError, match="whole frames"):
        pattern("flatten", 3).revert(np.zeros((1, 4), np.int64))
