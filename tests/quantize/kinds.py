"""Every kind of quantizer, small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from speechlm.quantize import (
    FiniteScalarQuantizer,
    Quantizer,
    ResidualQuantizer,
    ResidualScalarQuantizer,
    VectorQuantizer,
)

DIM, NUM_CODEBOOKS, CODEBOOK_SIZE = 6, 4, 8

KINDS: dict[str, Callable[[], Quantizer]] = {
    "vector-ema": lambda: VectorQuantizer(DIM, CODEBOOK_SIZE),
    "vector-gradient": lambda: VectorQuantizer(DIM, CODEBOOK_SIZE, "gradient"),
    "vector-lookup": lambda: VectorQuantizer(DIM, CODEBOOK_SIZE, "gradient", codebook_dim=3),
    "residual-ema": lambda: ResidualQuantizer(DIM, NUM_CODEBOOKS, CODEBOOK_SIZE),
    "residual-gradient": lambda: ResidualQuantizer(DIM, NUM_CODEBOOKS, CODEBOOK_SIZE, "gradient"),
    "residual-lookup": lambda: ResidualQuantizer(
        DIM, NUM_CODEBOOKS, CODEBOOK_SIZE, "gradient", codebook_dim=3
    ),
    "scalar": lambda: FiniteScalarQuantizer(DIM, (3, 4, 5)),
    "residual-scalar": lambda: ResidualScalarQuantizer(DIM, NUM_CODEBOOKS, (3, 4, 5)),
}
RESIDUAL_VECTOR = [name for name in KINDS if name in ("residual-ema", "residual-gradient")] + [
    "residual-lookup"
]


def made(kind: str, started: bool = True, seed: int = 0) -> Quantizer:
    """A quantizer of a kind in evaluation mode, its codebooks started on a batch of noise."""
    torch.manual_seed(seed)
    quantizer = KINDS[kind]()
    if started:
        for _ in range(quantizer.num_codebooks):
            quantizer(torch.randn(4, DIM, 50))
    return quantizer.eval()


def latents(batch: int = 3, frames: int = 20) -> Tensor:
    return torch.randn(batch, DIM, frames)


def errors(quantizer: Quantizer, z: Tensor) -> Tensor:
    """Squared distance of each frame, (codebooks, batch, frames), at one level, two, and so on."""
    codes = quantizer.encode(z)
    parts = [quantizer.decode(codes[:, :k]) for k in range(1, quantizer.num_codebooks + 1)]
    return torch.stack([(z - part).square().sum(dim=1) for part in parts])
