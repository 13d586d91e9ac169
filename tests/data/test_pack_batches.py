"""Batches: everything is in them once and whole, and a step's is always the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.data.batches.pack import PADDING, PackedExamples, pack
from speechlm.lm.tasks import TokenSequence

PAD = 0


def sequence(columns: int, value: int, rows: int = 2) -> TokenSequence:
    tokens = np.full((rows, columns), value, np.int64)
    tokens[-1] += np.arange(columns) + 100
    mask = np.arange(rows * columns).reshape(rows, columns) % 3 == value % 3
    return TokenSequence(tokens, mask)


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=30), batch=st.integers(1, 4))
def test_everything_is_packed_once(lengths: list[int], batch: int) -> None:
    sequences = [sequence(columns, value) for value, columns in enumerate(lengths, 1)]
    found = {}
    for packed in pack(sequences, batch, 20, PAD):
        assert packed.tokens.shape == packed.mask.shape == (batch, 2, 20)
        assert (packed.tokens.dtype, packed.mask.dtype) == (np.int64, np.bool_)
        assert packed.segments.shape == (batch, 20)
        assert packed.segments.dtype == np.int64
        for tokens, mask, segments in zip(packed.tokens, packed.mask, packed.segments, strict=True):
            nothing = segments == PADDING
            assert (tokens[:, nothing] == PAD).all()
            assert not mask[:, nothing].any()
            used = segments[~nothing]
            assert (np.diff(used) >= 0).all()
            for segment in np.unique(used):
                inside = segments == segment
                first = np.flatnonzero(inside)[0]
                assert inside[first : first + inside.sum()].all()  # in one piece
                found[int(tokens[0, first])] = TokenSequence(tokens[:, inside], mask[:, inside])
    assert set(found) == set(range(1, len(lengths) + 1))
    for value, one in found.items():
        np.testing.assert_array_equal(one.tokens, sequences[value - 1].tokens)
        np.testing.assert_array_equal(one.mask, sequences[value - 1].mask)


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=30))
def test_little_is_wasted(lengths: list[int]) -> None:
    """What is in the second of two half-empty rows would have gone into the first."""
    batches = pack([sequence(columns, 1) for columns in lengths], 1, 20, PAD)
    used = [int((batch.segments != PADDING).sum()) for batch in batches]
    assert sum(columns <= 10 for columns in used) <= 1
    assert sum(used) == sum(lengths)


def drawn(random: np.random.Generator) -> TokenSequence:
    return sequence(int(random.integers(1, 60)), int(random.integers(1, 50)))


@given(steps=st.lists(st.integers(0, 10**9), min_size=1, max_size=4), seed=st.integers(0, 2**31))
def test_a_batch_is_a_function_of_seed_and_step(steps: list[int], seed: int) -> None:
    one, other = (PackedExamples(drawn, 3, 100, PAD, seed) for _ in range(2))
    first = [one(step) for step in steps]
    again = [other(step) for step in reversed(steps)]
    for batch, same in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(batch.tokens, same.tokens)
        np.testing.assert_array_equal(batch.mask, same.mask)
        np.testing.assert_array_equal(batch.segments, same.segments)
    assert one(steps[0] + 1).tokens.tolist() != first[0].tokens.tolist()


def test_batches_are_full_and_favour_no_length() -> None:
    lengths = []

    def draw(random: np.random.Generator) -> TokenSequence:
        lengths.append(int(random.integers(1, 200)))
        return sequence(lengths[-1], 1)

    packed = PackedExamples(draw, 8, 512, PAD, seed=0)
    used, kept = 0, []
    for step in range(50):
        segments = packed(step).segments
        used += int((segments != PADDING).sum())
        for row in segments:
            kept += np.bincount(row[row != PADDING]).tolist()
    assert used / (50 * 8 * 512) > 0.97
    assert np.mean(kept) == pytest.approx(np.mean(lengths), rel=0.03)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a sequence of 21 columns does not fit in 20"):
        pack([sequence(21, 1)], 1, 20, PAD)
    with pytest.raises(ValueError, match="no sequence"):
        pack([], 1, 20, PAD)
