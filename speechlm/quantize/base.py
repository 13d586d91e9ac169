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
        codes: int64 (batch, codebooks, frames).
        losses: scalars to add to the training loss, by name, unweighted.
    """

    z: Tensor
    codes: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


class Quantizer(nn.Module):
    """Latents (batch, dim, frames) to codes (batch, codebooks, frames), from 0 to codebook_size."""

    num_codebooks: int
    codebook_size: int

    @abstractmethod
    def forward(self, z: Tensor, num_codebooks: Tensor | None = None) -> Quantized:
        """Quantize for training; ``num_codebooks`` (batch,) says how many each example keeps."""

    @abstractmethod
    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Codes of the first ``num_codebooks`` levels (all by default).

        Raises:
            ValueError: when there are not so many.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Latents of codes with any number of levels up to ``self.num_codebooks``.

        Once frozen, a code of -1 adds nothing. A frame of nothing but those has no meaning here.
        """

    def decode_prefixes(self, codes: Tensor) -> Tensor:
        """Latents of the first level, the first two, and so on: (batch, codebooks, dim, frames)."""
        return torch.stack([self.decode(codes[:, :k]) for k in range(1, codes.shape[1] + 1)], dim=1)

    @torch.no_grad()
    def codebook_vectors(self) -> Tensor:
        """Vectors that codes add to the latents: (num_codebooks, codebook_size, dim)."""
        rows = []
        device = next(chain(self.parameters(), self.buffers())).device
        for k in range(self.num_codebooks):
            codes = torch.zeros(1, k + 1, self.codebook_size, dtype=torch.int64, device=device)
            without = self.decode(codes[:, :k]) if k else 0.0
            codes[0, k] = torch.arange(self.codebook_size, device=device)
            rows.append((self.decode(codes) - without)[0].T)
        return torch.stack(rows)

    def freeze(self) -> None:
        """Prepare for use: the weights change no more."""

    def check_num_codebooks(self, num_codebooks: int | None) -> int:
        """The number of levels asked for, all by default; see :meth:`encode`."""
        if num_codebooks is not None and not 1 <= num_codebooks <= self.num_codebooks:
            raise ValueError(f"num_codebooks is 1 to {self.num_codebooks}, not {num_codebooks}")
        return self.num_codebooks if num_codebooks is None else num_codebooks


def usage(codes: Tensor, codebook_size: int) -> Tensor:
    """Share of the entries that occur, for each level of codes (batch, codebooks, frames)."""
    return (codebook_counts(codes, codebook_size) > 0).double().mean(dim=1)


def perplexity(codes: Tensor, codebook_size: int) -> Tensor:
    """Exponential of the entropy of each level's codes: the number of entries in effective use."""
    counts = codebook_counts(codes, codebook_size).double()
    p = counts / counts.sum(dim=1, keepdim=True)
    return torch.special.entr(p).sum(dim=1).exp()


def codebook_counts(codes: Tensor, codebook_size: int) -> Tensor:
    """How often each entry occurs: int64 (num_codebooks, codebook_size)."""
    num_codebooks = codes.shape[1]
    flat = codes.transpose(0, 1).reshape(num_codebooks, -1)
    counts = torch.zeros(num_codebooks, codebook_size, dtype=torch.int64, device=codes.device)
    return counts.scatter_add_(1, flat, torch.ones_like(flat))
