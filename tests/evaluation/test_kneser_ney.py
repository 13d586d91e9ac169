"""N-grams: values computed by hand, and that they are distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.evaluation.kneser_ney import UnitNgrams
from speechlm.text.kneser_ney import KneserNey

A, B, C, NONE = range(4)


def probability(model: KneserNey, symbol: int, *context: int) -> float:
    contexts = np.array([context], np.int64).reshape(1, len(context))
    return float(model.probability(np.array([symbol]), contexts)[0])


def test_a_unigram_by_hand() -> None:
    """Counts 3 and 1 of three symbols. One count is 1 and none is 2: the discount is a half."""
    model = KneserNey(np.array([A, A, A, B]), np.zeros((4, 0), int), 3)
    # Half of each of the two kinds is left over: 1/4, a third of it for each symbol.
    assert probability(model, A) == pytest.approx(2.5 / 4 + 1 / 4 / 3)
    assert probability(model, B) == pytest.approx(0.5 / 4 + 1 / 4 / 3)
    assert probability(model, C) == pytest.approx(1 / 4 / 3)


def test_a_bigram_by_hand() -> None:
    """A A B A A C, from nothing: bigrams (nothing A) 1, (A A) 2, (A B) 1, (B A) 1, (A C) 1.

    Four counts are 1 and one is 2: D = 4 / (4 + 2) = 2/3. Of different symbols, A follows three
    (nothing, A and B), B one and C one: counts 3, 1, 1 of 5, two of them 1 and none 2: D = 1/2.
    """
    symbols = np.array([A, A, B, A, A, C])
    contexts = np.array([[NONE], [A], [A], [B], [A], [A]])
    model = KneserNey(symbols, contexts, 3)
    left = 0.5 * 3 / 5 / 3
    lower = {A: 2.5 / 5 + left, B: 0.5 / 5 + left, C: 0.5 / 5 + left}
    assert sum(lower.values()) == pytest.approx(1)
    discount = 2 / 3
    # After A: A twice, B once, C once, of 4; three kinds.
    for symbol, count in ((A, 2), (B, 1), (C, 1)):
        expected = (count - discount) / 4 + discount * 3 / 4 * lower[symbol]
        assert probability(model, symbol, A) == pytest.approx(expected)
    # After B: A once of 1.
    assert probability(model, A, B) == pytest.approx(1 - discount + discount * lower[A])
    assert probability(model, C, B) == pytest.approx(discount * lower[C])
    # After C, which nothing follows, the lower order alone.
    assert probability(model, B, C) == pytest.approx(lower[B])


@given(
    symbols=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    order=st.integers(1, 4),
    context=st.lists(st.integers(0, 5), min_size=3, max_size=3),
)
def test_after_anything_it_is_a_distribution(
    symbols: list[int], order: int, context: list[int]
) -> None:
    model = UnitNgrams([np.array([symbols])], 5, order).levels[0]
    contexts = np.tile(context[: order - 1], (5, 1)).reshape(5, order - 1).astype(int)
    found = model.probability(np.arange(5), contexts)
    assert (found > 0).all()
    assert found.sum() == pytest.approx(1)


def test_what_a_level_looks_at() -> None:
    codes = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    time = UnitNgrams([codes], 10, 3, "time")
    assert time._contexts(codes, 1).tolist() == [[10, 10], [3, 10], [4, 3]]
    levels = UnitNgrams([codes], 10, 4, "levels")
    assert levels._contexts(codes, 0).tolist() == [[10, 10, 10], [0, 10, 10], [1, 0, 10]]
    assert levels._contexts(codes, 1).tolist() == [[0, 10, 10], [1, 3, 10], [2, 4, 3]]
    assert levels._contexts(codes, 2).tolist() == [[3, 10, 0], [4, 6, 1], [5, 7, 2]]
    assert UnitNgrams([codes], 10, 1)._contexts(codes, 1).shape == (3, 0)


def test_contexts_help_where_there_is_something_to_know() -> None:
    """A level that counts up, and one that is the level above plus noise."""
    random = np.random.default_rng(0)

    def made(frames: int) -> np.ndarray:
        first = (random.integers(8) + np.arange(frames)) % 8
        noise = random.random((2, frames)) < 0.25
        first = np.where(noise[0], random.integers(0, 8, frames), first)
        return np.stack([first, np.where(noise[1], random.integers(0, 8, frames), first)])

    train, test = [made(50) for _ in range(200)], [made(50) for _ in range(50)]

    def bits(order: int, over: str = "time") -> np.ndarray:
        model = UnitNgrams(train, 8, order, over)
        return np.concatenate([model.bits(each) for each in test], axis=1).mean(axis=1)

    assert bits(1) == pytest.approx([3, 3], abs=0.02)
    # What nobody can know: whether there is noise, and which.
    floor = -(0.75 + 0.25 / 8) * np.log2(0.75 + 0.25 / 8) - 7 * (0.25 / 8) * np.log2(0.25 / 8)
    assert bits(2, "levels")[1] == pytest.approx(floor, abs=0.05)
    over_time = [bits(order)[0] for order in (1, 2, 3)]
    assert over_time[0] > over_time[1] > over_time[2] > floor
    assert bits(3)[0] == pytest.approx(bits(3, "levels")[0])


def test_too_long_grams_are_refused() -> None:
    with pytest.raises(ValueError, match="7-grams of 1024 symbols do not fit in 64 bits"):
        UnitNgrams([np.zeros((1, 9), int)], 1024, 7)
    with pytest.raises(ValueError, match="over is time or levels, not both"):
        UnitNgrams([np.zeros((1, 9), int)], 4, 2, "both")
