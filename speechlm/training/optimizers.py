"""Optimizers and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from speechlm.errors import SpeechLMError
from speechlm.training.config import OptimizerConfig


def build_optimizers(
    config: OptimizerConfig, weights: Iterable[tuple[str, nn.Parameter]]
) -> list[Optimizer]:
    """One or two optimizers over named parameters.

    Vectors (biases, norms, scales) are not decayed. Muon takes the matrices but for embeddings and
    codebooks, whose rows are no linear map.

    Raises:
        SpeechLMError: for an unknown kind.
    """
    matrices, vectors, tables = [], [], []
    for name, parameter in weights:
        if parameter.ndim < 2:
            vectors.append(parameter)
        elif config.kind == "muon" and parameter.ndim == 2 and "entries" not in name:
            matrices.append(parameter)
        else:
            tables.append(parameter)
    decay = config.weight_decay
    adamw = torch.optim.AdamW(
        [{"params": vectors, "weight_decay": 0.0}, {"params": tables, "weight_decay": decay}],
        lr=config.rate,
        betas=config.betas,
    )
    if config.kind not in ("adamw", "muon"):
        raise SpeechLMError(f"training: optimizer.kind is 'adamw' or 'muon', not {config.kind!r}")
    if not matrices:  # none for Muon in a stack of convolutions
        return [adamw]
    muon = torch.optim.Muon(
        matrices, lr=config.rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
    )
    return [adamw, muon]


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine from the rate to ``final`` times the rate."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(steps - config.warmup, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return config.rate * (config.final + (1 - config.final) * cosine)
