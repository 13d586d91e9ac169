"""The spectral codec on a single frame, where calls cost more than arithmetic.

A frame is a few dozen products of a matrix with a vector and small sums between them. Called one by
one from Python, the small sums take longer than the products, whose time is that of reading the
weights; and as these are more than a cache holds, the code of each call has to be fetched again.
Here all from samples to codes, and from codes to samples, is one compiled call of few arguments
(:mod:`speechlm.codec.kernels`). What it remembers is packed, and ``plain`` gives the very states of
:mod:`speechlm.codec.spectral`, so a stream may change from one to the other between any two chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechlm.audio import LOUDEST
from speechlm.codec.spectral import FrameNorm, SpectralDecoder, SpectralEncoder
from speechlm.kernels import numba_available
from speechlm.nn import ConvNeXtBlock, State, Streaming
from speechlm.quantize import Quantizer, ResidualQuantizer
from speechlm.quantize.search import ResidualSearch

Vector = NDArray[np.float32]
States = Sequence[State]


class EncoderState(NamedTuple):
    """What an encoder remembers: samples (n,), and what its blocks do (blocks, channels, time)."""

    recent: NDArray[np.float64]
    past: Vector

    def plain(self, hop: int) -> State:
        """The state of :class:`speechlm.codec.exact.SettledCoder`."""
        recent = torch.from_numpy(self.recent)[None]
        return recent, recent[:, -hop:], (*_states(self.past), ())


class DecoderState(NamedTuple):
    """What a decoder remembers: that of its blocks (blocks, channels, time), and the samples
    (overlap,) by which the next window overlaps."""

    past: Vector
    overlap: Vector

    def plain(self) -> State:
        """The state of :class:`SpectralDecoder`."""
        return _states(self.past), torch.from_numpy(self.overlap[None, None])


def frame_decoder(decoder: Streaming, quantizer: Quantizer) -> FrameDecoder | None:
    """A decoder of single frames, if there is one for these parts and a compiler is installed."""
    spectral = isinstance(decoder, SpectralDecoder) and isinstance(quantizer, ResidualQuantizer)
    if not spectral or not numba_available():
        return None
    return FrameDecoder(cast(SpectralDecoder, decoder), quantizer.codebook_vectors())


class FrameEncoder:
    """Encoder and search for one hop of samples, with the spectrum in double precision.

    Args:
        reach: samples of the past that are kept.
    """

    def __init__(self, encoder: SpectralEncoder, search: ResidualSearch, reach: int):
        from speechlm.codec import kernels
        from speechlm.nn import fourier

        self.encode = kernels.encode
        self.hop, self.reach = encoder.stft.hop, reach
        self.shape = (1, self.hop)
        self.tape, self.numbers = written(list(encoder.stack.stages), search)
        block = cast(ConvNeXtBlock, encoder.stack.stages[2])
        self.hidden = block.up.out_features
        self.latent, self.cardinality = search.stages[0].table.shape
        self.window = encoder.stft.window.double().numpy()
        self.roots = fourier.roots(self.hop, np.float64)
        self.slope = (encoder.compress - 1) / 2

    def packed(self, wave: Tensor, state: State) -> EncoderState | None:
        """``state`` if :meth:`step` can go on from it with ``wave``; None if not."""
        if wave.shape != self.shape or wave.dtype != torch.float32 or wave.requires_grad:
            return None
        samples = wave.numpy()[0]
        if not samples @ samples <= LOUDEST * LOUDEST:  # the checks of all paths decide
            return None
        if isinstance(state, EncoderState):
            return state
        recent, stft, stack = state
        if stft.shape[1] != self.hop:  # a part of a hop waits for the rest
            return None
        return EncoderState(recent.numpy()[0], _past(stack))

    def step(
        self, wave: Tensor, levels: int, drift: float, state: EncoderState
    ) -> tuple[NDArray[np.int64], bool, EncoderState]:
        """Codes (levels,) of ``wave`` (1, hop), and whether they are doubtful when latents are off
        by ``drift``."""
        codes, doubtful, recent, past = self.encode(
            wave.numpy(),
            state.recent,
            state.past,
            self.reach,
            self.window,
            self.roots,
            self.slope,
            (self.hidden, self.latent, levels, self.cardinality),
            self.tape,
            self.numbers,
            drift,
        )
        return codes, doubtful, EncoderState(recent, past)


class FrameDecoder:
    """:class:`SpectralDecoder` for the codes of one frame.

    ``vectors`` (levels, cardinality, latent) are the entries whose sum is decoded.
    """

    def __init__(self, decoder: SpectralDecoder, vectors: Tensor):
        from speechlm.codec import kernels
        from speechlm.nn import fourier
        from speechlm.nn.kernels import matrix

        self.decode = kernels.decode
        self.vectors = matrix(vectors)
        self.shapes = {(1, level + 1, 1) for level in range(len(vectors))}
        self.tape, self.numbers = written(list(decoder.stack.stages))
        self.hidden = cast(ConvNeXtBlock, decoder.stack.stages[2]).up.out_features
        self.polar = decoder.polar
        self.slope = np.float32((1 / decoder.compress - 1) / 2)
        # A copy: multiprocessing moves the memory of tensors that it sends, under NumPy's views.
        self.window = decoder.istft.window.numpy().copy()
        self.roots = fourier.roots(len(self.window) // 2, np.float32)

    def step(self, codes: Tensor, state: State) -> tuple[Tensor, DecoderState] | None:
        """Samples (1, hop) of ``codes`` (1, levels, 1), and the state; None for codes of another
        shape or type, ragged ones, and such as there are not."""
        if codes.dtype != torch.int64 or codes.shape not in self.shapes:
            return None
        if not isinstance(state, DecoderState):
            stack, overlap = state
            state = DecoderState(_past(stack), overlap.numpy()[0, 0])
        whole, wave, past, overlap = self.decode(
            codes.numpy(),
            state.past,
            state.overlap,
            self.vectors,
            self.window,
            self.roots,
            self.slope,
            self.polar,
            self.hidden,
            self.tape,
            self.numbers,
        )
        return (torch.from_numpy(wave), DecoderState(past, overlap)) if whole else None


def _past(stack: States) -> Vector:
    """What blocks remember (blocks, channels, kernel - 1), of the states of a :class:`Chain`."""
    return np.concatenate([state.numpy() for state in stack if isinstance(state, Tensor)])


def _states(past: Vector) -> States:
    """The states of a :class:`Chain` whose blocks have a linear map and a norm on either side."""
    return (), (), *(torch.from_numpy(part) for part in past[:, None]), (), ()


def written(
    stages: Iterable[nn.Module], search: ResidualSearch | None = None
) -> tuple[NDArray[Any], Vector]:
    """The tapes of :mod:`speechlm.codec.kernels`: matrices, and all other numbers."""
    from speechlm.nn.kernels import matrix

    matrices: list[Tensor] = []
    numbers: list[Tensor] = []

    def linear(layer: nn.Linear) -> None:
        matrices.append(layer.weight)
        numbers.append(layer.bias)

    def norm(layer: nn.LayerNorm) -> None:
        size = layer.normalized_shape
        weight = torch.ones(size) if layer.weight is None else layer.weight
        bias = torch.zeros(size) if layer.bias is None else layer.bias
        numbers.extend([torch.tensor([layer.eps]), weight, bias])

    for stage in cast(Any, stages):
        if isinstance(stage, ConvNeXtBlock):
            convolution = stage.depthwise.conv
            numbers.extend([convolution.weight, cast(Tensor, convolution.bias)])
            norm(stage.norm)
            linear(stage.up)
            linear(stage.down)
            numbers.append(stage.scale)
        elif isinstance(stage, FrameNorm):
            norm(stage.norm)
        else:
            linear(stage.linear)
    for level in [] if search is None else search.stages:
        matrices.append(level.single)
        numbers.append(torch.tensor([level.slope, level.least, 2 * level.longest]))
        numbers.append(level.shift)
    tape = torch.cat([each.detach().flatten() for each in matrices])
    return matrix(tape), torch.cat([each.detach().flatten() for each in numbers]).float().numpy()
