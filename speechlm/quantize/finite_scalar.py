"""Finite scalar quantization: a fixed grid in few bounded dimensions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from speechlm.quantize.base import Quantized, Quantizer
from speechlm.utils import distributed


class FiniteScalarQuantizer(Quantizer):
    """Bound each of a few dimensions, round it to a grid (Mentzer et al. 2023, "FSQ").

    ``grid`` gives the number of values a dimension takes, equally spaced over [-1, 1]; their
    product is the cardinality. Nothing is learned but the projections, so nothing can collapse.
    In training, ``dither`` of the examples get uniform noise of one grid step in place of rounding
    (as in the codec of Parker et al. 2024, "Stable Codec"): the decoder sees between the points.
    """

    num_codebooks = 1

    def __init__(self, dim: int, grid: tuple[int, ...], dither: float = 0.5):
        super().__init__()
        self.grid = ScalarGrid(grid)
        self.codebook_size = self.grid.codebook_size
        self.dither = dither
        self.project_in = nn.Linear(dim, len(grid))
        self.project_out = nn.Linear(len(grid), dim)

    def forward(self, z: Tensor, num_codebooks: Tensor | None = None) -> Quantized:
        x = torch.tanh(self.project_in(z.transpose(1, 2)))
        q = self.grid.round(x)
        codes = self.grid.index(q)
        y = q + (x - x.detach())
        if self.training and self.dither:
            noisy = distributed.rand_like(x[:, :1, :1]) < self.dither
            noise = (distributed.rand_like(x) - 0.5) * self.grid.spacing.to(x.dtype)
            y = torch.where(noisy, x + noise, y)
        return Quantized(self.project_out(y).transpose(1, 2), codes[:, None])

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        self.check_num_codebooks(num_codebooks)
        x = torch.tanh(self.project_in(z.transpose(1, 2)))
        return self.grid.index(self.grid.round(x))[:, None]

    def decode(self, codes: Tensor) -> Tensor:
        x = self.grid.point(codes[:, 0]).to(self.project_out.weight.dtype)
        return self.project_out(x).transpose(1, 2)


class ScalarGrid(nn.Module):
    """Points of a grid over [-1, 1] and their mixed-radix indices, first dimension fastest.

    Raises:
        ValueError: when a dimension has fewer than two values or indices exceed int64.
    """

    sizes: Tensor
    strides: Tensor
    spacing: Tensor

    def __init__(self, grid: tuple[int, ...]):
        super().__init__()
        if not grid or min(grid) < 2:
            raise ValueError(f"a grid needs two or more values a dimension, not {grid}")
        if math.prod(grid) >= 2**62:
            raise ValueError(f"the indices of the grid {grid} exceed int64")
        self.codebook_size = math.prod(grid)
        sizes = torch.tensor(grid, dtype=torch.int64)
        strides = torch.tensor([math.prod(grid[:i]) for i in range(len(grid))], dtype=torch.int64)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("strides", strides, persistent=False)
        self.register_buffer("spacing", 2 / (sizes - 1).double(), persistent=False)

    def round(self, x: Tensor) -> Tensor:
        """Nearest grid points to ``x`` (..., dimensions)."""
        spacing = self.spacing.to(x.dtype)
        steps = ((x + 1) / spacing).round()
        return torch.minimum(steps.clamp_min(0), self.sizes - 1) * spacing - 1

    def index(self, points: Tensor) -> Tensor:
        """int64 indices (...) of grid points (..., dimensions)."""
        digits = ((points.double() + 1) / self.spacing.double()).round().to(torch.int64)
        return (digits * self.strides).sum(dim=-1)

    def point(self, index: Tensor) -> Tensor:
        """Grid points (..., dimensions), as doubles, of indices (...)."""
        digits = torch.div(index[..., None], self.strides, rounding_mode="floor") % self.sizes
        return digits * self.spacing.double() - 1
