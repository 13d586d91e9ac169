"""The causal ConvNeXt block."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.nn.conv import CausalConv1d
from speechlm.nn.streaming import State, Streaming


class ConvNeXtBlock(Streaming):
    """Depthwise causal convolution, then a pointwise MLP, added to the input.

    After Liu et al. 2022, "A ConvNet for the 2020s", in one dimension as in Vocos (Siuzdak 2023).
    Input and output (batch, channels, time). ``scale`` is the start value of the layer scale.
    """

    def __init__(self, channels: int, expansion: int = 4, kernel: int = 7, scale: float = 0.1):
        super().__init__()
        self.depthwise = CausalConv1d(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, expansion * channels)
        self.down = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def initial_state(self, like: Tensor) -> State:
        return self.depthwise.initial_state(like)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.depthwise.step(x, state)
        y = self.norm(y.transpose(1, 2))
        y = self.down(F.gelu(self.up(y))) * self.scale
        return x + y.transpose(1, 2), state
