"""Baselines on the same units: a recurrent and a convolutional network."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.nn import CausalConv1d, State, Streaming

CYCLE = 10
"""Dilations double so many times, and begin again at 1."""


class Gru(Streaming):
    """Layers of gated recurrent units (Cho et al. 2014). Input and output (batch, dim, time)."""

    def __init__(self, dim: int, layers: int, dropout: float = 0.0):
        super().__init__()
        between = dropout if layers > 1 else 0.0  # PyTorch warns of one that is never applied
        self.gru = nn.GRU(dim, dim, layers, batch_first=True, dropout=between)
        self.norm = nn.RMSNorm(dim)

    def initial_state(self, like: Tensor) -> State:
        return like.new_zeros(len(like), self.gru.num_layers, self.gru.hidden_size)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.gru(x.transpose(1, 2), state.transpose(0, 1).contiguous())
        return self.norm(y).transpose(1, 2), state.transpose(0, 1)


class WaveNet(Streaming):
    """Gated causal convolutions of growing dilation (van den Oord et al. 2016).

    Input and output (batch, dim, time). Each layer adds to its input, and to a sum of ``hidden``
    channels, of which the output is made. With a kernel of 3, n layers see 2^(n + 1) - 1 positions.
    """

    def __init__(self, dim: int, layers: int, hidden: int, kernel: int = 3, dropout: float = 0.0):
        super().__init__()
        dilations = [2 ** (layer % CYCLE) for layer in range(layers)]
        self.gated = nn.ModuleList(
            CausalConv1d(dim, 2 * dim, kernel, dilation=each) for each in dilations
        )
        self.outs = nn.ModuleList(nn.Conv1d(dim, dim + hidden, 1) for _ in dilations)
        self.split = (dim, hidden)
        self.last = nn.Linear(hidden, dim)
        self.norm = nn.RMSNorm(dim)
        self.dropout = dropout

    def initial_state(self, like: Tensor) -> State:
        return tuple(gated.initial_state(like) for gated in cast(list[Streaming], self.gated))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        total, after = x.new_zeros(()), []
        for gated, out, before in zip(self.gated, self.outs, state, strict=True):
            y, memory = cast(Streaming, gated).step(x, before)
            y, gate = y.chunk(2, dim=1)
            y = F.dropout(y.tanh() * gate.sigmoid(), self.dropout, self.training)
            inner, skip = out(y).split(self.split, dim=1)
            x, total = x + inner, total + skip
            after.append(memory)
        y = self.norm(self.last(torch.relu(total).transpose(1, 2)))
        return y.transpose(1, 2), tuple(after)
