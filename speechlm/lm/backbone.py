"""The seam behind which a model over time may be a transformer, a recurrence or a convolution.

A backbone turns embeddings (batch, time, dim) and a :class:`~speechlm.nn.Packing` into outputs of
the same shape. :func:`decoder` makes of it what takes one position after the other.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from speechlm.errors import SpeechLMError
from speechlm.lm.baselines import Gru, WaveNet
from speechlm.lm.compiled import transformer_decoder
from speechlm.lm.config import LMConfig
from speechlm.nn import Packing, State, Streaming, Transformer

BACKBONES = ("llama", "gru", "wavenet")


class Steps(Protocol):
    """Growing sequences, in a batch."""

    def prefill(self, prompts: list[Tensor]) -> Tensor:
        """Read starts (time, dim), of any lengths; the output (batch, dim) at each one's end."""

    def step(self, x: Tensor) -> Tensor:
        """Add a position: input and output (batch, dim)."""

    def choose(self, rows: Tensor) -> None:
        """Let each sequence go on as the one of a number (batch,) is now."""


class Begin(Protocol):
    """What :class:`~speechlm.nn.CachedTransformer` is for a transformer."""

    def begin(self, batch: int, capacity: int) -> Steps:
        """A batch of empty sequences, with room for ``capacity`` positions of each."""


class Streamed(nn.Module):
    """A backbone of any streaming module, (batch, dim, time) to the same shape."""

    def __init__(self, module: Streaming):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        return packing.apply(lambda each: self.module(each.transpose(1, 2)).transpose(1, 2), x)


class StreamedSteps:
    """The state of a streaming module over a batch of growing sequences, of any length."""

    def __init__(self, module: Streaming):
        self.module = module
        self.state: State = None

    def begin(self, batch: int, capacity: int) -> StreamedSteps:
        return StreamedSteps(self.module)

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

    def choose(self, rows: Tensor) -> None:
        self.state = _chosen(self.state, rows)


def _stack(states: list[State]) -> State:
    """One state of a batch from those of its members."""
    if isinstance(states[0], Tensor):
        return torch.cat(states)
    return tuple(_stack(list(parts)) for parts in zip(*states, strict=True))


def _chosen(state: State, rows: Tensor) -> State:
    if isinstance(state, Tensor):
        return state[rows]
    return tuple(_chosen(part, rows) for part in state)


def build(config: LMConfig) -> Transformer | Streamed:
    """The backbone that ``config`` names.

    Raises:
        SpeechLMError: for another name.
        ValueError: for sizes of which none can be made.
    """
    dim, layers, dropout = config.dim, config.layers, config.dropout
    if config.backbone == "llama":
        return Transformer(
            dim,
            layers,
            config.heads,
            config.kv_heads,
            config.hidden,
            dropout,
            config.rotary,
            config.epsilon,
        )
    if config.backbone == "gru":
        return Streamed(Gru(dim, layers, dropout))
    if config.backbone == "wavenet":
        return Streamed(WaveNet(dim, layers, config.hidden, config.kernel, dropout))
    raise SpeechLMError(f"backbone is one of {', '.join(BACKBONES)}, not {config.backbone}")


def decoder(backbone: nn.Module) -> Begin:
    """What runs ``backbone`` position by position; with a copy of its weights, as they are now."""
    if isinstance(backbone, Transformer):
        return transformer_decoder(backbone)
    if isinstance(backbone, Streamed):
        return StreamedSteps(backbone.module)
    raise TypeError(f"{type(backbone).__name__} is no backbone")
