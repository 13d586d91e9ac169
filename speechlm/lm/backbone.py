"""Backbones of a language model: a transformer, a recurrent or a convolutional network.

A backbone maps embeddings (batch, time, dim) and :class:`~speechlm.nn.PackedSequences` to outputs
of the same shape. :func:`cached_backbone` decodes with it position by position.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from speechlm.errors import SpeechLMError
from speechlm.kernels.cached_transformer import cached_transformer
from speechlm.lm.baselines import Gru, WaveNet
from speechlm.lm.config import LMConfig
from speechlm.nn import PackedSequences, State, Streaming, Transformer

BACKBONES = ("llama", "gru", "wavenet")


class StepState(Protocol):
    """The state of a batch of growing sequences."""

    def prefill(self, prompts: list[Tensor]) -> Tensor:
        """Read prompts (time, dim) of any lengths; the output (batch, dim) at the end of each."""

    def step(self, x: Tensor) -> Tensor:
        """Append a position: input and output (batch, dim)."""

    def extend(self, x: Tensor) -> Tensor:
        """Append several positions: input and output (batch, time, dim)."""


class CachedBackbone(Protocol):
    """Weights for decoding by position, as :class:`~speechlm.nn.CachedTransformer`."""

    def new_state(self, batch: int, capacity: int) -> StepState:
        """The state of a batch of empty sequences of up to ``capacity`` positions."""


class StreamingBackbone(nn.Module):
    """A backbone of any streaming module, (batch, dim, time) to the same shape."""

    def __init__(self, module: Streaming):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, packing: PackedSequences) -> Tensor:
        return packing.apply(lambda each: self.module(each.transpose(1, 2)).transpose(1, 2), x)


class StreamingState:
    """The state of a streaming module over a batch of growing sequences, of any length."""

    def __init__(self, module: Streaming):
        self.module = module
        self.state: State = None

    def new_state(self, batch: int, capacity: int) -> StreamingState:
        return StreamingState(self.module)

    @torch.inference_mode()
    def prefill(self, prompts: list[Tensor]) -> Tensor:
        outputs, states = [], []
        for prompt in prompts:
            x = prompt.t()[None]
            y, state = self.module.step(x, self.module.initial_state(x))
            outputs.append(y[:, :, -1])
            states.append(state)
        self.state = _stack(states)
        return torch.cat(outputs)

    @torch.inference_mode()
    def step(self, x: Tensor) -> Tensor:
        y, self.state = self.module.step(x.unsqueeze(2), self.state)
        return y.squeeze(2)

    @torch.inference_mode()
    def extend(self, x: Tensor) -> Tensor:
        y, self.state = self.module.step(x.transpose(1, 2), self.state)
        return y.transpose(1, 2)


def _stack(states: list[State]) -> State:
    """One state of a batch from those of its members."""
    if isinstance(states[0], Tensor):
        return torch.cat(states)
    return tuple(_stack(list(parts)) for parts in zip(*states, strict=True))


def build_backbone(config: LMConfig) -> Transformer | StreamingBackbone:
    """The backbone that ``config`` names.

    Raises:
        SpeechLMError: for another name.
        ValueError: for sizes of which none can be made.
    """
    dim, layers, dropout = config.dim, config.num_layers, config.dropout
    if config.backbone == "llama":
        return Transformer(
            dim,
            layers,
            config.num_heads,
            config.num_kv_heads,
            config.ffn_dim,
            dropout,
            config.rope_theta,
            config.norm_eps,
        )
    if config.backbone == "gru":
        return StreamingBackbone(Gru(dim, layers, dropout))
    if config.backbone == "wavenet":
        return StreamingBackbone(WaveNet(dim, layers, config.ffn_dim, config.kernel, dropout))
    raise SpeechLMError(f"backbone is one of {', '.join(BACKBONES)}, not {config.backbone}")


def cached_backbone(backbone: nn.Module) -> CachedBackbone:
    """``backbone`` for decoding by position, with a copy of its current weights."""
    if isinstance(backbone, Transformer):
        return cached_transformer(backbone)
    if isinstance(backbone, StreamingBackbone):
        return StreamingState(backbone.module)
    raise TypeError(f"{type(backbone).__name__} is no backbone")
