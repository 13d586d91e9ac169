"""Streaming modules of all kinds and sizes, with inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from speechlm.codec.seanet import ResidualUnit
from speechlm.nn import (
    CausalConv1d,
    CausalConvTranspose1d,
    CausalISTFT,
    CausalSTFT,
    Chain,
    ConvNeXtBlock,
    State,
    Streaming,
)

from ..chunks import cut


@dataclass
class Case:
    """A module, how to make an input of so many steps, and the outputs a step of its layers."""

    module: Streaming
    make: Callable[[int], Tensor]
    rates: list[Fraction]

    def ready(self, steps: int) -> int:
        """How many outputs ``steps`` inputs must give: no fewer, or the module holds some back."""
        for rate in self.rates:
            steps = int(steps * rate)
        return steps


def streamed(module: Streaming, x: Tensor, sizes: list[int]) -> Tensor:
    """The output of ``module`` fed chunk by chunk."""
    return run(module, cut(x, sizes), module.initial_state(x))[0]


def run(module: Streaming, chunks: list[Tensor], state: State) -> tuple[Tensor, State]:
    outputs = []
    for chunk in chunks:
        y, state = module.step(chunk, state)
        outputs.append(y)
    return torch.cat(outputs, dim=-1), state


@st.composite
def convolutions(draw: st.DrawFn, channels: int = 0) -> tuple[CausalConv1d, int]:
    kernel, dilation = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    stride = draw(st.integers(1, min((kernel - 1) * dilation + 1, 5)))
    groups = draw(st.sampled_from([1, 2]))
    inputs = channels or groups * draw(st.integers(1, 3))
    outputs = groups * draw(st.integers(1, 3))
    if channels:
        groups = 1
    return CausalConv1d(inputs, outputs, kernel, stride, dilation, groups), outputs


@st.composite
def transposed(draw: st.DrawFn, channels: int) -> tuple[CausalConvTranspose1d, int]:
    stride, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    kernel = stride + draw(st.integers(0, 7))
    return CausalConvTranspose1d(channels, outputs, kernel, stride), outputs


@st.composite
def depthwise(draw: st.DrawFn, channels: int) -> tuple[CausalConv1d, int]:
    kernel, dilation = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    return CausalConv1d(channels, channels, kernel, 1, dilation, groups=channels), channels


@st.composite
def convnext(draw: st.DrawFn, channels: int) -> tuple[ConvNeXtBlock, int]:
    return ConvNeXtBlock(channels, 2, draw(st.integers(1, 7)), scale=1.0), channels


@st.composite
def residual(draw: st.DrawFn, channels: int) -> tuple[ResidualUnit, int]:
    return ResidualUnit(channels, draw(st.integers(1, 4))), channels


@st.composite
def chains(draw: st.DrawFn) -> tuple[Chain, int, list[Fraction]]:
    first = channels = draw(st.integers(2, 4))
    stages: list[nn.Module] = []
    rates = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([convolutions, transposed, depthwise, convnext, residual]))
        if kind is residual and channels < 2:
            continue
        stage, channels = draw(kind(channels))
        if isinstance(stage, CausalConv1d):
            rates.append(Fraction(1, stage.stride))
        if isinstance(stage, CausalConvTranspose1d):
            rates.append(Fraction(stage.stride))
        stages += [nn.ELU(), stage]
    return Chain(*stages), first, rates


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any streaming module with an input for it, in single or double precision."""
    torch.manual_seed(draw(st.integers(0, 2**20)))
    batch = draw(st.integers(1, 2))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    kind = draw(
        st.sampled_from(
            [
                "convolution",
                "depthwise",
                "transposed",
                "convnext",
                "residual",
                "chain",
                "stft",
                "istft",
            ]
        )
    )
    if kind == "stft":
        hop_length = draw(st.integers(1, 6))
        module = CausalSTFT(hop_length, hop_length * draw(st.integers(1, 4))).to(dtype)
        return Case(module, lambda n: torch.randn(batch, n, dtype=dtype), [Fraction(1, hop_length)])
    if kind == "istft":
        hop_length = draw(st.integers(1, 6))
        overlap = draw(st.integers(1, hop_length).filter(lambda n: (hop_length + n) % 2 == 0))
        bins = (hop_length + overlap) // 2 + 1
        spectrum = torch.complex64 if dtype == torch.float32 else torch.complex128
        return Case(
            CausalISTFT(hop_length, overlap).to(dtype),
            lambda n: torch.randn(batch, bins, n, dtype=spectrum),
            [Fraction(hop_length)],
        )
    rates: list[Fraction] = []
    if kind == "chain":
        module, channels, rates = draw(chains())
    elif kind == "convolution":
        module, _ = draw(convolutions())
        channels, rates = module.conv.in_channels, [Fraction(1, module.stride)]
    else:
        channels = draw(st.integers(2, 4))
        make = {"depthwise": depthwise, "transposed": transposed, "convnext": convnext}
        module, _ = draw(make.get(kind, residual)(channels))
        if kind == "transposed":
            rates = [Fraction(module.stride)]
    module = module.to(dtype)
    return Case(module, lambda n: torch.randn(batch, channels, n, dtype=dtype), rates)
