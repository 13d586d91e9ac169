"""The search of a frozen codebook, against double precision without a shortcut."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm.kernels import spectral_frame
from speechlm.kernels.frame_codec import pack_weights
from speechlm.quantize import ResidualQuantizer
from speechlm.quantize.search import NearestSearch, ResidualSearch

SEEDS = st.integers(0, 10_000)


def best(entries: torch.Tensor, offsets: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    """One product at a time, summed exactly as far as doubles go."""
    scores = (rows[:, None].astype(np.longdouble) * entries.numpy()).sum(axis=2) + offsets.numpy()
    return scores.argmax(axis=1)


@given(
    seed=SEEDS,
    dim=st.integers(1, 40),
    codebook_size=st.integers(1, 64),
    gap=st.sampled_from([1.0, 1e-3, 1e-6, 1e-9, 1e-12]),
    shift=st.sampled_from([0.0, 1.0, 1e4]),
)
def test_the_code_is_that_of_double_precision(seed, dim, codebook_size, gap, shift):
    """Entries as near to each other as single precision cannot tell, and far from the origin."""
    random = np.random.default_rng(seed)
    entries = torch.from_numpy(shift + gap * random.standard_normal((codebook_size, dim)))
    offsets = -0.5 * entries.square().sum(dim=1)
    rows = (shift + gap * random.standard_normal((30, dim))).astype(np.float32)
    codes, doubtful = NearestSearch(entries, offsets).near(rows)
    assert not doubtful.any()
    expected = best(entries, offsets, rows)
    # Where doubles cannot tell either, the two scores are equal to their rounding.
    differ = codes != expected
    scores = rows @ entries.numpy().T + offsets.numpy()
    each = np.arange(30)
    allowed = 1e-14 * dim * (1 + np.abs(scores).max() + np.abs(offsets.numpy()).max())
    assert (np.abs(scores[each, codes] - scores[each, expected])[differ] <= allowed).all()
    if gap >= 1e-3 * max(shift, 1.0):
        assert not differ.any()


@given(seed=SEEDS, part=st.integers(1, 29))
def test_the_code_does_not_depend_on_the_batch(seed, part):
    random = np.random.default_rng(seed)
    # Half the entries are there twice: of equal ones the first.
    entries = torch.from_numpy(random.standard_normal((20, 8))).repeat(2, 1)
    search = NearestSearch(entries, -0.5 * entries.square().sum(dim=1))
    rows = random.standard_normal((30, 8), np.float32)
    codes, _ = search.near(rows)
    assert codes.max() < 20
    parts = [search.near(rows[:part])[0], search.near(rows[part:])[0]]
    np.testing.assert_array_equal(np.concatenate(parts), codes)
    for row, code in zip(rows, codes, strict=True):
        assert search.near(row[None])[0].tolist() == [code]


@given(seed=SEEDS)
def test_a_row_between_two_entries_is_doubtful(seed):
    """Rows so far off the border of two cells; a trillionth off, only doubles see the side."""
    random = np.random.default_rng(seed)
    entries = torch.from_numpy(random.standard_normal((2, 16)))
    first, second = entries.numpy()
    middle, towards = (first + second) / 2, (second - first) / np.linalg.norm(second - first)
    search = NearestSearch(entries, -0.5 * entries.square().sum(dim=1))
    steps = np.array([-1e-2, -1.1e-3, -9e-4, 9e-4, 1.1e-3, 1e-2])
    rows = (middle + steps[:, None] * towards).astype(np.float32)
    codes, doubtful = search.near(rows, drift=1e-3)
    assert codes.tolist() == [0, 0, 0, 1, 1, 1]
    assert doubtful.tolist() == [False, False, True, True, False, False]
    rows = middle + np.array([[-1e-12], [1e-12]]) * towards
    assert search.near(rows)[0].tolist() == [0, 1]


@given(seed=SEEDS, num_codebooks=st.integers(1, 4), drift=st.sampled_from([0.0, 1e-4, 1e-2]))
def test_residual_codes_are_the_quantizers(seed, num_codebooks, drift):
    """In a batch, row by row, compiled, and in doubles; and all agree on what is doubtful."""
    torch.manual_seed(seed)
    quantizer = ResidualQuantizer(8, 4, 16).eval()
    if seed % 2:
        quantizer.half().float()
    search = ResidualSearch(quantizer)
    rows = torch.randn(20, 8)
    expected = quantizer.double().encode(rows.double().T[None], num_codebooks)[0].T.numpy()
    before = rows.clone()
    codes, doubtful = search.near(rows.numpy(), num_codebooks, drift)
    assert torch.equal(rows, before)
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(search.exact(rows.double().numpy(), num_codebooks), expected)
    tape, numbers = pack_weights([], search)
    assert (tape.dtype == np.uint16) == bool(seed % 2)
    for index, row in enumerate(rows.numpy()):
        code = np.empty(num_codebooks, np.int64)
        close = spectral_frame.residual_search(row, 16, tape, numbers, drift, code)
        np.testing.assert_array_equal(code, codes[index])
        assert close == (index in doubtful)


def test_nothing_is_searched_in_nothing():
    search = ResidualSearch(ResidualQuantizer(8, 4, 16))
    codes, doubtful = search.near(np.empty((0, 8), np.float32), 3, 1e-4)
    assert codes.shape == (0, 3)
    assert len(doubtful) == 0
