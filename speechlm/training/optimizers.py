"""Optimizers, which parameters each takes, and the learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from speechlm.errors import SpeechLMError
from speechlm.quantize import Quantizer
from speechlm.training.config import OptimizerConfig
from speechlm.training.muon import Muon

KINDS = ("adamw", "muon")

MUON_EVERY = 2
"""Steps from one update of a matrix by Muon to the next, which halve its cost. In 200 steps of a
codec the validation loss was 1.907, with updates in every step 1.913 (one seed)."""


@runtime_checkable
class HasOutputHeads(Protocol):
    """A network some of whose linear layers are output heads."""

    def output_heads(self) -> Iterable[nn.Module]:
        """The layers that map hidden features to what the network predicts."""


def trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The parameters of ``modules`` that take gradients."""
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def build_optimizers(config: OptimizerConfig, modules: Iterable[nn.Module]) -> list[Optimizer]:
    """One or two optimizers over the trainable parameters of ``modules``.

    With ``muon``, Muon takes the weight matrices of linear layers within the networks, and AdamW
    everything else: embeddings, output heads (:class:`HasOutputHeads`), quantizers with their
    projections, convolutions, recurrences and vectors. Parameters of fewer than two dimensions
    (biases, norms, scales) are not decayed.

    Raises:
        SpeechLMError: for an unknown kind.
    """
    if config.kind not in KINDS:
        raise SpeechLMError(f"training: optimizer.kind is 'adamw' or 'muon', not {config.kind!r}")
    modules = list(modules)
    matrices = list(_hidden_matrices(modules)) if config.kind == "muon" else []
    taken = {id(matrix) for matrix in matrices}
    rest = [parameter for parameter in trainable(modules) if id(parameter) not in taken]
    decay = config.weight_decay
    # Fused, for it takes a third of the time of the loop over parameters, on a CPU too.
    adamw = torch.optim.AdamW(
        [
            {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
            {"params": [p for p in rest if p.ndim >= 2], "weight_decay": decay},
        ],
        lr=config.rate,
        betas=config.betas,
        fused=True,
    )
    if not matrices:  # in a stack of convolutions
        return [adamw]
    return [adamw, Muon(matrices, lr=config.rate, weight_decay=decay, every=MUON_EVERY)]


def _hidden_matrices(modules: list[nn.Module]) -> Iterator[nn.Parameter]:
    """Weights of linear layers that map features to features, of ``modules`` and their parts."""
    parts = [part for module in modules for part in module.modules()]
    excluded: list[nn.Module] = []
    for part in parts:
        if isinstance(part, Quantizer | nn.Embedding):
            excluded.append(part)
        if isinstance(part, HasOutputHeads):
            excluded += part.output_heads()
    # An embedding among them, for a linear layer may share its table.
    others = {id(parameter) for part in excluded for parameter in part.parameters()}
    linear = [part for part in parts if isinstance(part, nn.Linear)]
    for _, weight in (pair for layer in linear for pair in layer.named_parameters(recurse=False)):
        if weight.ndim == 2 and weight.requires_grad and id(weight) not in others:
            others.add(id(weight))
            yield weight


def learning_rate(config: OptimizerConfig, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine from the rate to ``final`` times the rate."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(steps - config.warmup, 1)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return config.rate * (config.final + (1 - config.final) * cosine)
