"""Loops in units."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from speechlm.evaluation.lm.repetition import longest_loop


def test_a_loop_is_a_cycle_that_comes_again() -> None:
    assert longest_loop(np.arange(9)) == 0
    assert longest_loop(np.zeros(0, int)) == longest_loop(np.zeros(1, int)) == 0
    assert longest_loop(np.array([1, 5, 5, 5, 5, 2])) == 4
    assert longest_loop(np.array([9, 1, 2, 3, 1, 2, 3, 1, 8])) == 7
    assert longest_loop(np.array([1, 2, 3, 1, 2, 4])) == 0  # not once as a whole
    assert longest_loop(np.array([7, 7, 1, 2, 1, 2, 1, 2])) == 6


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.integers(2, 5),
    st.integers(0, 7),
    st.integers(0, 3),
)
def test_a_planted_loop_is_found(cycle: list[int], times: int, more: int, around: int) -> None:
    loop = (cycle * (times + 1))[: len(cycle) * times + min(more, len(cycle) - 1)]
    edge = np.arange(around) + 100
    units = np.concatenate([edge, loop, edge + 100]).astype(int)
    assert longest_loop(units) >= len(loop)
    assert longest_loop(units) <= len(units)
