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
        norm, up, down = self.norm, self.up, self.down
        # The functions that the layers call: on a single frame the calls would be a third of it.
        y = torch.layer_norm(
            y.transpose(1, 2), norm.normalized_shape, norm.weight, norm.bias, norm.eps
        )
        y = F.linear(F.gelu(F.linear(y, up.weight, up.bias)), down.weight, down.bias)
        return torch.addcmul(x, y.transpose(1, 2), self.scale.unsqueeze(1)), state
