"""Grids: points, indices, stages."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm.quantize import FiniteScalarQuantizer, ResidualScalarQuantizer
from speechlm.quantize.finite_scalar import ScalarGrid

close = torch.testing.assert_close
GRIDS = st.lists(st.integers(2, 9), min_size=1, max_size=4).map(tuple)
FINE = st.lists(st.integers(3, 9), min_size=1, max_size=4).map(tuple)


def uniform(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) - 1


@given(grid=GRIDS)
def test_indices_and_points_are_one_to_one(grid):
    points = ScalarGrid(grid)
    everything = torch.arange(points.codebook_size)
    assert points.codebook_size == math.prod(grid)
    found = points.point(everything)
    assert len(found.unique(dim=0)) == points.codebook_size
    assert found.min() == -1
    assert found.max() == 1
    for dtype in (torch.float32, torch.float64):
        close(points.index(points.round(found.to(dtype))), everything)


@given(grid=GRIDS, seed=st.integers(0, 1000))
def test_rounding_takes_the_nearest_point_and_stays(grid, seed):
    points = ScalarGrid(grid)
    x = uniform(seed, 50, len(grid)) * 1.2
    rounded = points.round(x)
    for d, values in enumerate(grid):
        axis = torch.linspace(-1, 1, values)
        distance = (x[:, d, None] - axis).abs()
        close((rounded[:, d] - x[:, d]).abs(), distance.min(dim=1).values, atol=1e-6, rtol=1e-5)
    close(points.round(rounded), rounded, atol=1e-6, rtol=0)


@given(seed=st.integers(0, 1000))
def test_indices_of_a_large_grid_need_64_bits(seed):
    points = ScalarGrid((1000,) * 6)  # 10^18, of which 2^53 is no multiple
    digits = torch.randint(1000, (20, 6), generator=torch.Generator().manual_seed(seed))
    index = sum(int(1000**d) * digits[:, d] for d in range(6))
    found = points.point(index)
    assert found.dtype == torch.float64
    close(found, 2 * digits / 999 - 1, check_dtype=False)
    close(points.index(found), index)
    assert points.index(torch.ones(6)) == 1000**6 - 1


def plain(quantizer):
    """Projections out of the way: latents within the bound are the grid's coordinates."""
    with torch.no_grad():
        for layer in (quantizer.project_in, quantizer.project_out):
            layer.weight.copy_(torch.eye(len(layer.weight)))
            layer.bias.zero_()
    return quantizer.double().eval()


def bounded(x: torch.Tensor) -> torch.Tensor:
    """Latents (batch, dim, frames) that the bound takes to ``x`` (batch, frames, dim)."""
    return torch.atanh(x.clamp(-1 + 1e-12, 1 - 1e-12)).transpose(1, 2)


@given(grid=GRIDS)
@torch.no_grad()
def test_codes_to_latents_to_codes_is_the_identity(grid):
    quantizer = plain(FiniteScalarQuantizer(len(grid), grid))
    codes = torch.arange(quantizer.codebook_size)[None, None]
    z = quantizer.decode(codes)
    close(quantizer.encode(bounded(z.transpose(1, 2))), codes)


@given(grid=FINE, num_codebooks=st.integers(1, 4), seed=st.integers(0, 1000))
@torch.no_grad()
def test_requantizing_a_residual_sum_changes_nothing(grid, num_codebooks, seed):
    """The sum is stable, not its codes: a sum between two first points has two spellings."""
    quantizer = plain(ResidualScalarQuantizer(len(grid), num_codebooks, grid))
    z = bounded(uniform(seed, 2, 30, len(grid), dtype=torch.float64))
    once = quantizer.decode(quantizer.encode(z))
    again = quantizer.decode(quantizer.encode(bounded(once.transpose(1, 2))))
    close(again, once, atol=1e-9, rtol=0)


@given(grid=FINE, seed=st.integers(0, 1000))
@torch.no_grad()
def test_a_stage_leaves_no_more_than_half_its_spacing(grid, seed):
    quantizer = plain(ResidualScalarQuantizer(len(grid), 4, grid))
    x = uniform(seed, 2, 30, len(grid), dtype=torch.float64)
    codes = quantizer.encode(bounded(x))
    before = x.abs()
    for k in range(1, 5):
        left = (x - quantizer.decode(codes[:, :k]).transpose(1, 2)).abs()
        for d, values in enumerate(grid):
            assert left[..., d].max() <= (values - 1.0) ** -k + 1e-9
            if values % 2:  # zero is a point: no coordinate gets worse
                assert (left[..., d] <= before[..., d] + 1e-9).all()
        before = left


@given(seed=st.integers(0, 1000))
@torch.no_grad()
def test_four_stages_of_three_are_one_grid_of_seventeen(seed):
    quantizer = plain(ResidualScalarQuantizer(2, 4, (3, 3)))
    x = uniform(seed, 1, 200, 2, dtype=torch.float64)
    decoded = quantizer.decode(quantizer.encode(bounded(x))).transpose(1, 2)
    close(decoded, ScalarGrid((17, 17)).round(x), atol=1e-9, rtol=0)


def test_dither_replaces_rounding_in_a_share_of_the_examples():
    torch.manual_seed(0)
    quantizer = plain(FiniteScalarQuantizer(2, (3, 5), dither=0.25)).train()
    x = 0.8 * uniform(0, 400, 30, 2, dtype=torch.float64)
    with torch.no_grad():
        quantized = quantizer(bounded(x))
    gap = quantized.z.transpose(1, 2) - x
    rounded = (ScalarGrid((3, 5)).round(x) - x - gap).abs().amax(dim=(1, 2)) < 1e-9
    # 400 examples: four standard errors are .087.
    assert 0.16 < 1 - rounded.double().mean() < 0.34
    noise = gap[~rounded] / torch.tensor([1.0, 0.5])
    assert noise.abs().max() <= 0.5
    close(noise.square().mean(), torch.tensor(1 / 12).double(), atol=0.01, rtol=0)
    # The codes are those of use; and in use there is no noise.
    close(quantized.codes, quantizer.encode(bounded(x)))
    with torch.no_grad():
        close(quantizer.eval()(bounded(x)).z, quantizer.decode(quantized.codes))


@pytest.mark.parametrize("grid", [(3, 4, 5), (2, 2)])
@torch.no_grad()
def test_nothing_is_out_of_bounds(grid):
    quantizer = FiniteScalarQuantizer(3, grid).eval()
    codes = quantizer.encode(1e6 * torch.randn(2, 3, 100))
    assert 0 <= codes.min() <= codes.max() < quantizer.codebook_size
