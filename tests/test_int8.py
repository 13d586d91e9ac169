"""Matrices in eight bits: near to what they were, exact in half precision, and the same again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from speechlm.utils import int8

BELOW = float(np.nextafter(np.float32(int8.LARGE), np.float32(0)))
shapes = st.tuples(st.integers(1, 8), st.integers(int8.ROW, 24))
numbers = st.floats(-BELOW, BELOW, width=32) | st.floats(-(2.0**-16), 2.0**-16, width=32)
matrices = arrays(np.float32, shapes, elements=numbers)


def check(value: Tensor) -> None:
    """All that is promised of a matrix."""
    whole, scale = int8.pack(value)
    back = int8.unpack(whole, scale)
    assert (whole.dtype, scale.dtype, back.dtype) == (torch.int8, torch.float16, torch.float32)
    assert whole.shape == value.shape
    assert int(whole.min()) >= -int8.MOST
    assert torch.equal(back, back.half().float())
    assert ((back.double() - value.double()).abs() <= scale.double()[:, None] / 2).all()
    again = int8.pack(back)
    assert torch.equal(again[0], whole)
    assert torch.equal(again[1], scale)


@given(matrices)
def test_it_is_near_and_exact_in_half_precision_and_the_same_again(value: np.ndarray) -> None:
    check(torch.from_numpy(value))


@pytest.mark.parametrize("unit", [int8.TINY, 2.0**-12, 2.0**4])
def test_so_it_is_whatever_the_largest_of_a_row(unit: float) -> None:
    """Every scale of one to sixteen units, by largest elements that lie densely around it."""
    largest = torch.linspace(0, 16 * int8.MOST * unit, 160 * int8.MOST * 3 + 1)
    value = torch.zeros(len(largest), int8.ROW)
    value[:, 3] = -largest
    check(value)


def test_the_scale_costs_little() -> None:
    value = torch.randn(4000, 64, generator=torch.manual_seed(0))
    scale = int8.pack(value)[1].float()
    best = value.abs().amax(1) / int8.MOST
    assert ((scale / best > 0.99) & (scale / best < 1.13)).all()
    assert 1.02 < float((scale / best).mean()) < 1.06


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((40, 16), (40,)),
        ((4, 100, 32), (4, 100)),  # a matrix for each level
        ((40, 12, 7), (40,)),  # a convolution
        ((40, 3, 20), (40, 3)),
        ((12, 3, 2, 9), (12, 3)),
    ],
)
def test_a_row_is_the_last_axes_that_have_enough(shape: tuple, rows: tuple) -> None:
    value = torch.randn(shape, generator=torch.manual_seed(0))
    assert int8.pays(value)
    whole, scale = int8.pack(value)
    assert (whole.shape, scale.shape) == (shape, rows)
    mirrored = int8.pack(value.flip(0).transpose(0, 1).contiguous().transpose(0, 1))[0]
    assert torch.equal(mirrored, whole.flip(0)) and mirrored.is_contiguous()
    assert float((int8.unpack(whole, scale) - value).abs().max()) < 4 / int8.MOST


def test_rows_of_zeros_stay_so() -> None:
    value = torch.randn(20, 32, generator=torch.manual_seed(0))
    value[7] = 0
    back = int8.unpack(*int8.pack(value))
    assert not back[7].any()
    assert back[6].any() and back[8].any()


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(4000),
        torch.ones(500, 1, 7),  # a depthwise convolution
        torch.ones(2, 32),
        torch.ones(0, 32),
        torch.ones(32, 0),
        torch.ones(32, 32, dtype=torch.int64),
        torch.full((32, 32), torch.nan),
        torch.full((32, 32), torch.inf),
        torch.full((32, 32), -int8.LARGE),
    ],
)
def test_what_it_does_not_pay_for(value: Tensor) -> None:
    assert not int8.pays(value)


@pytest.mark.parametrize(
    ("whole", "scale"),
    [
        (torch.zeros(4, 32), torch.ones(4)),
        (torch.zeros(4, 32, dtype=torch.int8), torch.ones(3)),
        (torch.zeros(4, dtype=torch.int8), torch.ones(4, 32)),
    ],
)
def test_scales_of_another_tensor(whole: Tensor, scale: Tensor) -> None:
    with pytest.raises(ValueError, match="scales"):
        int8.unpack(whole, scale)
