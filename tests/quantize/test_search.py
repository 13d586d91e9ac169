"""The search of a frozen codebook, against double precision without a shortcut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm.quantize import VectorQuantizer
from speechlm.quantize.search import NearestSearch, residual_search

SEEDS = st.integers(0, 10_000)


def best(entries: torch.Tensor, offsets: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    """One product at a time, summed exactly as far as doubles go."""
    scores = (rows[:, None].astype(np.longdouble) * entries.numpy()).sum(axis=2) + offsets.numpy()
    return scores.argmax(axis=1)


@given(
    seed=SEEDS,
    dim=st.integers(1, 40),
    cardinality=st.integers(1, 64),
    gap=st.sampled_from([1.0, 1e-3, 1e-6, 1e-9, 1e-12]),
    shift=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_the_code_is_that_of_double_precision(seed, dim, cardinality, gap, shift):
    """Entries as near to each other as single precision cannot tell, and far from the origin."""
    random = np.random.default_rng(seed)
    entries = torch.from_numpy(shift + gap * random.standard_normal((cardinality, dim)))
    offsets = -0.5 * entries.square().sum(dim=1)
    rows = shift + gap * random.standard_normal((30, dim))
    codes = NearestSearch(entries, offsets)(rows)
    expected = best(entries, offsets, rows)
    # Where doubles cannot tell either, the two scores are equal to their rounding.
    differ = codes != expected
    scores = rows @ entries.numpy().T + offsets.numpy()
    each = np.arange(30)
    allowed = 1e-14 * dim * (1 + np.abs(scores).max() + np.abs(offsets.numpy()).max())
    assert (np.abs(scores[each, codes] - scores[each, expected])[differ] <= allowed).all()
    if gap >= 1e-6 * max(shift, 1.0):
        assert not differ.any()


@given(seed=SEEDS, part=st.integers(1, 29))
def test_the_code_does_not_depend_on_the_batch(seed, part):
    random = np.random.default_rng(seed)
    # Half the entries are there twice: of equal ones the first.
    entries = torch.from_numpy(random.standard_normal((20, 8))).repeat(2, 1)
    search = NearestSearch(entries, -0.5 * entries.square().sum(dim=1))
    rows = random.standard_normal((30, 8))
    codes = search(rows)
    assert codes.max() < 20
    np.testing.assert_array_equal(np.concatenate([search(rows[:part]), search(rows[part:])]), codes)
    for row, code in zip(rows, codes, strict=True):
        assert search(row[None]).tolist() == [code]


@given(seed=SEEDS)
def test_a_row_between_two_entries_is_settled(seed):
    """Rows a trillionth off the border of two cells, which only the doubles see."""
    random = np.random.default_rng(seed)
    entries = torch.from_numpy(random.standard_normal((2, 16)))
    first, second = entries.numpy()
    middle, towards = (first + second) / 2, (second - first) / np.linalg.norm(second - first)
    search = NearestSearch(entries, -0.5 * entries.square().sum(dim=1))
    steps = np.array([-1e-2, -1e-7, -1e-12, 1e-12, 1e-7, 1e-2])
    codes = search(middle + steps[:, None] * towards)
    assert codes.tolist() == [0, 0, 0, 1, 1, 1]


def test_rows_are_left_as_they_were():
    random = np.random.default_rng(0)
    entries = torch.from_numpy(random.standard_normal((8, 4)))
    search = NearestSearch(entries, torch.zeros(8).double())
    rows = random.standard_normal((10, 4))
    before = rows.copy()
    assert residual_search([search, search], rows).shape == (10, 2)
    assert residual_search([search], rows[:0]).shape == (0, 1)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("lookup", [None, 3])
@torch.no_grad()
def test_freezing_uses_it_in_double_precision_alone(lookup):
    torch.manual_seed(0)
    for precision in (torch.float32, torch.float64):
        quantizer = VectorQuantizer(6, 16, "gradient", lookup).eval().to(precision)
        z = torch.randn(2, 6, 40, dtype=precision)
        codes = quantizer.requires_grad_(False).encode(z)
        quantizer.freeze()
        assert (quantizer.search is not None) == (precision == torch.float64)
        assert torch.equal(quantizer.encode(z), codes)
