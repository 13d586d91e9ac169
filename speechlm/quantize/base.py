"""The quantizer seam."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn


@dataclass
class Quantized:
    """What a training pass through a quantizer gives.

    Attributes:
        z: quantized latents (batch, dim, frames); the gradient reaches the input with slope one.
        codes: int64 (batch, levels, frames).
        losses: scalars to add to the training loss, by name, unweighted.
    """

    z: Tensor
    codes: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


class Quantizer(nn.Module):
    """Latents (batch, dim, frames) to codes (batch, levels, frames) in ``[0, cardinality)``."""

    levels: int
    cardinality: int

    @abstractmethod
    def forward(self, z: Tensor, levels: Tensor | None = None) -> Quantized:
        """Quantize for training; ``levels`` (batch,) says how many each example keeps."""

    @abstractmethod
    def encode(self, z: Tensor, levels: int | None = None) -> Tensor:
        """Codes of the first ``levels`` levels (all by default).

        Raises:
            ValueError: when there are not so many.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Latents of codes with any number of levels up to ``self.levels``.

        Once frozen, a code of -1 adds nothing. A frame of nothing but those has no meaning here.
        """

    def partial(self, codes: Tensor) -> Tensor:
        """Latents of the first level, the first two, and so on: (batch, levels, dim, frames)."""
        return torch.stack([self.decode(codes[:, :k]) for k in range(1, codes.shape[1] + 1)], dim=1)

    @torch.no_grad()
    def contributions(self) -> Tensor:
        """What each code adds to the latents: (levels, cardinality, dim)."""
        rows = []
        device = next(chain(self.parameters(), self.buffers())).device
        for k in range(self.levels):
            codes = torch.zeros(1, k + 1, self.cardinality, dtype=torch.int64, device=device)
            without = self.decode(codes[:, :k]) if k else 0.0
            codes[0, k] = torch.arange(self.cardinality, device=device)
            rows.append((self.decode(codes) - without)[0].T)
        return torch.stack(rows)

    def freeze(self) -> None:
        """Prepare for use: the weights change no more."""

    def check_levels(self, levels: int | None) -> int:
        """The number of levels asked for, all by default; see :meth:`encode`."""
        if levels is not None and not 1 <= levels <= self.levels:
            raise ValueError(f"levels are 1 to {self.levels}, not {levels}")
        return self.levels if levels is None else levels


def usage(codes: Tensor, cardinality: int) -> Tensor:
    """Share of the entries that occur, for each level of codes (batch, levels, frames)."""
    return (_histogram(codes, cardinality) > 0).double().mean(dim=1)


def perplexity(codes: Tensor, cardinality: int) -> Tensor:
    """Exponential of the entropy of each level's codes: the number of entries in effective use."""
    counts = _histogram(codes, cardinality).double()
    p = counts / counts.sum(dim=1, keepdim=True)
    return torch.special.entr(p).sum(dim=1).exp()


def _histogram(codes: Tensor, cardinality: int) -> Tensor:
    levels = codes.shape[1]
    flat = codes.transpose(0, 1).reshape(levels, -1)
    counts = torch.zeros(levels, cardinality, dtype=torch.int64, device=codes.device)
    return counts.scatter_add_(1, flat, torch.ones_like(flat))
