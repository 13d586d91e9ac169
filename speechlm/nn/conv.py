"""Causal convolutions that stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.nn.depthwise import depthwise
from speechlm.nn.streaming import State, Streaming


class CausalConv1d(Streaming):
    """Convolution whose output t sees no input after sample ``(t + 1) * stride - 1``.

    Input (batch, channels, time), output (batch, out_channels, time // stride). The state holds the
    inputs that later outputs still need: at first ``reach - stride`` zeros, the left padding, with
    ``reach = (kernel - 1) * dilation + 1``. A chunk that does not fill a stride waits in the state.

    Raises:
        ValueError: when a size is below one, or the stride exceeds the reach (samples would be
            skipped).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ):
        super().__init__()
        if min(kernel, stride, dilation) < 1:
            raise ValueError(
                f"kernel {kernel}, stride {stride}, dilation {dilation}: one is below 1"
            )
        self.reach = (kernel - 1) * dilation + 1
        self.stride = stride
        if stride > self.reach:
            raise ValueError(f"stride {stride} exceeds the kernel's reach {self.reach}")
        self.conv = nn.Conv1d(
            in_channels, out_channels, kernel, stride, dilation=dilation, groups=groups
        )

    def initial_state(self, like: Tensor) -> State:
        return like.new_zeros(like.shape[0], self.conv.in_channels, self.reach - self.stride)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        x = torch.cat([state, x], dim=2)
        length = x.shape[2]
        ready = (length - self.reach) // self.stride + 1
        if ready <= 0:
            return x.new_zeros(x.shape[0], self.conv.out_channels, 0), x
        taken = ready * self.stride
        y = self._convolve(x.narrow(2, 0, self.reach - self.stride + taken))
        return y, x.narrow(2, taken, length - taken)

    def _convolve(self, x: Tensor) -> Tensor:
        conv = self.conv
        if conv.groups == conv.in_channels == conv.out_channels and self.stride == 1:
            return depthwise(x, conv.weight, conv.bias, conv.dilation[0])
        return conv(x)


class CausalConvTranspose1d(Streaming):
    """Transposed convolution that gives exactly ``stride`` outputs for each input.

    Input (batch, channels, time), output (batch, out_channels, time * stride). The last
    ``kernel - stride`` outputs of a chunk still lack what later inputs add: they are the state.

    Raises:
        ValueError: when the stride is below one, or exceeds the kernel (outputs would stay empty).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int):
        super().__init__()
        if not 1 <= stride <= kernel:
            raise ValueError(f"the stride {stride} is not in 1 to the kernel {kernel}")
        self.stride = stride
        self.overlap = kernel - stride
        self.conv = nn.ConvTranspose1d(in_channels, out_channels, kernel, stride)

    def initial_state(self, like: Tensor) -> State:
        return like.new_zeros(like.shape[0], self.conv.out_channels, self.overlap)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if x.shape[2] == 0:
            return x.new_zeros(x.shape[0], self.conv.out_channels, 0), state
        # The bias belongs to finished outputs alone, or the overlap would get it twice.
        y = F.conv_transpose1d(x, self.conv.weight, None, self.stride)
        y = torch.cat([y[:, :, : self.overlap] + state, y[:, :, self.overlap :]], dim=2)
        done = x.shape[2] * self.stride
        ready = y[:, :, :done]
        if self.conv.bias is not None:
            ready = ready + self.conv.bias[:, None]
        return ready, y[:, :, done:]
