"""Frequencies are whole, sum to 2**24, and are the ones that the range coder works with."""

from __future__ import annotations

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from speechlm.bitstream.entropy import frequencies
from speechlm.bitstream.entropy.frequencies import POWERS, PRECISION, from_scores, from_weights

scores = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(2, 40)),
    elements=st.integers(-5000, 5000).map(float),
)


@settings(deadline=None, max_examples=40)
@given(scores)
def test_all_parts_are_given_out_and_each_symbol_has_one(given_scores):
    less_one = from_scores(given_scores)
    assert (less_one >= 0).all()
    assert ((less_one.astype(np.int64) + 1).sum(axis=1) == 1 << PRECISION).all()


def test_a_sixteenth_of_a_bit_is_one():
    less_one = from_scores(np.array([[0.0, -16.0, -32.0, -8.0]], np.float32))[0].astype(np.float64)
    assert less_one[0] / less_one[1] == pytest.approx(2, rel=1e-5)
    assert less_one[1] / less_one[2] == pytest.approx(2, rel=1e-5)
    assert less_one[0] / less_one[3] == pytest.approx(2**0.5, rel=1e-5)


def test_the_table_is_that_of_exact_roots():
    for step in range(321):
        power = int(POWERS[step])
        assert power**16 <= 1 << (320 - step) < (power + 1) ** 16
    assert POWERS[-1] == 0


@settings(deadline=None, max_examples=30)
@given(
    arrays.arrays(np.int64, st.integers(2, 200), elements=st.integers(0, 1 << 20)),
    st.integers(0, 1 << 30),
)
def test_constriction_takes_them_as_they_are(weights, seed):
    weights[-1] += 1
    less_one = from_weights(weights[None])
    symbols = np.random.default_rng(seed).integers(0, len(weights), 20).astype(np.int32)
    family = constriction.stream.model.Categorical(perfect=False)
    encoder = constriction.stream.queue.RangeEncoder()
    # The interval after each symbol, by the arithmetic of docs/spec/bitstream.md.
    low, span, words = 0, (1 << 64) - 1, 0
    starts = np.concatenate([[0], np.cumsum(less_one[0].astype(np.int64) + 1)])
    for symbol in symbols:
        encoder.encode(np.array([symbol], np.int32), family, less_one)
        part = span >> frequencies.PRECISION
        low += part * int(starts[symbol])
        span = part * int(starts[symbol + 1] - starts[symbol])
        if span < 1 << 32:
            low, span, words = low << 32, span << 32, words + 1
        assert encoder.pos() == (words, (low % (1 << 64), span))
