"""The spectral codec on a single frame, where calls cost more than arithmetic.

A frame is a few dozen products of a matrix with a vector and small sums between them. Called one by
one from Python, the small sums take longer than the products, whose time is that of reading the
weights. Here a block is one compiled call (:mod:`speechlm.codec.kernels`). What computes here takes
and gives the very states of :mod:`speechlm.codec.spectral`, so a stream may change from one to the
other between any two chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechlm.codec.spectral import FrameLinear, FrameNorm, SpectralDecoder, SpectralEncoder
from speechlm.nn import Chain, ConvNeXtBlock, State, Streaming, available
from speechlm.quantize import Quantizer, ResidualQuantizer
from speechlm.quantize.search import ResidualSearch

Vector = NDArray[np.float32]
States = Sequence[State]
Layer = Callable[[Vector, States], tuple[Vector, States]]
"""Stages in a row that are one call, from and to the states of each."""


def frame_decoder(decoder: Streaming, quantizer: Quantizer) -> FrameDecoder | None:
    """A decoder of single frames, if there is one for these parts and a compiler is installed."""
    spectral = isinstance(decoder, SpectralDecoder) and isinstance(quantizer, ResidualQuantizer)
    if not spectral or not available():
        return None
    return FrameDecoder(cast(SpectralDecoder, decoder), cast(ResidualQuantizer, quantizer).table())


class FrameEncoder:
    """Encoder and search for one hop of samples, with the spectrum in double precision."""

    def __init__(self, encoder: SpectralEncoder, search: ResidualSearch):
        from speechlm.codec import kernels
        from speechlm.nn.kernels import matrix

        self.search = kernels.search
        self.entries = matrix(torch.stack([stage.single for stage in search.stages]))
        self.offsets = np.stack([stage.shift.numpy() for stage in search.stages])
        self.slopes = np.array([stage.slope for stage in search.stages])
        self.leasts = np.array([stage.least for stage in search.stages])
        self.stack = FrameStack(encoder.stack)
        self.window = encoder.stft.window.double().numpy()
        self.slope = (encoder.compress - 1) / 2

    def step(
        self, wave: Tensor, levels: int, drift: float, state: State
    ) -> tuple[NDArray[np.int64], bool, State]:
        """Codes (levels,) of ``wave`` (1, hop) in doubles, and whether they are doubtful when
        latents are off by ``drift``. The state holds no part of a hop."""
        stft, stack = state
        frame = np.concatenate([stft.numpy()[0], wave.numpy()[0]])
        spectrum = np.fft.rfft(frame * self.window)
        parts = np.concatenate([spectrum.real, spectrum.imag])
        squares = parts * parts
        bins = len(spectrum)
        power = np.maximum(squares[:bins] + squares[bins:], 1e-10)
        factor = np.exp(np.log(power) * self.slope)
        parts[:bins] *= factor
        parts[bins:] *= factor
        z, stack = self.stack.step(parts.astype(np.float32), stack)
        codes = np.empty(levels, np.int64)
        length = np.sqrt(np.dot(z, z))
        slack = (self.slopes[:levels] * length + self.leasts[:levels]).astype(np.float32)
        doubtful = self.search(z, self.entries, self.offsets, drift, slack, codes)
        return codes, doubtful, (wave, stack)


class FrameDecoder:
    """:class:`SpectralDecoder` for the codes of one frame.

    ``vectors`` (levels, cardinality, latent) are the entries whose sum is decoded.
    """

    def __init__(self, decoder: SpectralDecoder, vectors: Tensor):
        from speechlm.codec import kernels
        from speechlm.nn.kernels import matrix

        self.embed = kernels.embed
        self.vectors = matrix(vectors)
        self.stack = FrameStack(decoder.stack)
        self.polar = decoder.polar
        self.slope = np.float32((1 / decoder.compress - 1) / 2)
        self.hop = decoder.istft.hop
        self.window = decoder.istft.window.numpy()

    def step(self, codes: NDArray[np.int64], state: State) -> tuple[Tensor, State]:
        """Samples (1, hop) of the codes (levels,) of a frame."""
        stack, overlap = state
        y, stack = self.stack.step(self.embed(self.vectors, codes), stack)
        first, second = y[: self.hop + 1], y[self.hop + 1 :]
        spectrum = np.empty(self.hop + 1, np.complex64)
        if self.polar:
            magnitude = np.exp(np.minimum(first, np.float32(5)))
            spectrum.real, spectrum.imag = magnitude * np.cos(second), magnitude * np.sin(second)
        else:
            power = np.maximum(first * first + second * second, np.float32(1e-10))
            factor = np.exp(np.log(power) * self.slope)
            spectrum.real, spectrum.imag = first * factor, second * factor
        frame = torch.from_numpy(np.fft.irfft(spectrum, 2 * self.hop) * self.window)
        return (overlap[0] + frame[: self.hop]), (stack, frame[None, None, self.hop :])


class FrameStack:
    """A :class:`Chain` of :class:`FrameLinear`, :class:`FrameNorm` and :class:`ConvNeXtBlock`."""

    def __init__(self, chain: Chain):
        self.layers = [
            _layers(kind, list(stages)) for kind, stages in itertools.groupby(chain.stages, type)
        ]

    def step(self, x: Vector, state: State) -> tuple[Vector, State]:
        """One frame (channels,) through the chain, from and to a state of the chain's form."""
        states: list[State] = []
        for count, layer in self.layers:
            x, after = layer(x, state[len(states) : len(states) + count])
            states += after
        return x, tuple(states)


def _layers(kind: type[nn.Module], stages: list[nn.Module]) -> tuple[int, Layer]:
    """How many stages a call does, and the call; there is one of each kind, but for blocks."""
    if kind is ConvNeXtBlock:
        return len(stages), _convnexts(cast(list[ConvNeXtBlock], stages))
    (stage,) = stages
    if kind is FrameLinear:
        return 1, _linear(cast(FrameLinear, stage).linear)
    return 1, _norm(cast(FrameNorm, stage).norm)


def _linear(layer: nn.Linear) -> Layer:
    from speechlm.codec import kernels
    from speechlm.nn.kernels import matrix

    weight, bias = matrix(layer.weight), _array(layer.bias)
    return lambda x, states: (kernels.linear(weight, bias, x), states)


def _norm(layer: nn.LayerNorm) -> Layer:
    from speechlm.codec import kernels

    weight, bias = _affine(layer)
    return lambda x, states: (kernels.norm(x, weight, bias, layer.eps), states)


def _convnexts(blocks: list[ConvNeXtBlock]) -> Layer:
    from speechlm.codec import kernels
    from speechlm.nn.kernels import matrix

    def every(part: Callable[[ConvNeXtBlock], Tensor | None]) -> Tensor:
        return torch.stack([cast(Tensor, part(block)).detach() for block in blocks])

    affine = [_affine(block.norm) for block in blocks]
    weights = (
        _array(every(lambda block: block.depthwise.conv.weight[:, 0])),
        _array(every(lambda block: block.depthwise.conv.bias)),
        np.stack([weight for weight, _ in affine]),
        np.stack([bias for _, bias in affine]),
        blocks[0].norm.eps,
        *(matrix(every(lambda block: block.up.weight)), _array(every(lambda block: block.up.bias))),
        matrix(every(lambda block: block.down.weight)),
        _array(every(lambda block: block.down.bias)),
        _array(every(lambda block: block.scale)),
    )

    def step(x: Vector, states: States) -> tuple[Vector, States]:
        y, after = kernels.convnexts(x, torch.cat(list(states)).numpy(), *weights)
        return y, torch.from_numpy(after).split(1)

    return step


def _affine(layer: nn.LayerNorm) -> tuple[Vector, Vector]:
    size = layer.normalized_shape[0]
    if not layer.elementwise_affine:
        return np.ones(size, np.float32), np.zeros(size, np.float32)
    return _array(layer.weight), _array(layer.bias)


def _array(values: Tensor) -> Vector:
    return np.ascontiguousarray(values.detach().numpy())
