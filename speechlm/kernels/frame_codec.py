"""The spectral codec on single frames, as one compiled call per frame.

A frame takes a few dozen matrix-vector products with small element-wise operations between them.
Called one by one from Python, the small operations take longer than the products, whose time is
that of reading the weights. Here samples to codes, and codes to samples, are one compiled call
each (:mod:`speechlm.kernels.spectral_frame`). The state is packed; ``torch_state`` converts it to
that of :mod:`speechlm.codec.spectral`, so a stream may switch between the two after any chunk.
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
    """State of an encoder: past samples (n,) and those of its blocks (blocks, channels, time)."""

    recent: NDArray[np.float64]
    past: Vector

    def torch_state(self, hop_length: int) -> State:
        """The same as the state of :class:`speechlm.codec.reproducible.VerifiedEncoder`."""
        recent = torch.from_numpy(self.recent)[None]
        return recent, recent[:, -hop_length:], (*_states(self.past), ())


class DecoderState(NamedTuple):
    """State of a decoder: that of its blocks (blocks, channels, time), and the samples (overlap,)
    that overlap with the next window."""

    past: Vector
    overlap: Vector

    def torch_state(self) -> State:
        """The same as the state of :class:`SpectralDecoder`."""
        return _states(self.past), torch.from_numpy(self.overlap[None, None])


def frame_decoder(decoder: Streaming, quantizer: Quantizer) -> FrameDecoder | None:
    """A compiled decoder of single frames; None for other modules, or without a compiler."""
    spectral = isinstance(decoder, SpectralDecoder) and isinstance(quantizer, ResidualQuantizer)
    if not spectral or not numba_available():
        return None
    return FrameDecoder(cast(SpectralDecoder, decoder), quantizer.codebook_vectors())


class FrameEncoder:
    """Encoder and codebook search for one hop of samples; the spectrum is in double precision.

    Args:
        reach: number of past samples that are kept.
    """

    def __init__(self, encoder: SpectralEncoder, search: ResidualSearch, reach: int):
        from speechlm.kernels import fft, spectral_frame

        self.encode = spectral_frame.encode_frame
        self.hop_length, self.reach = encoder.stft.hop_length, reach
        self.shape = (1, self.hop_length)
        self.matrices, self.scalars = pack_weights(list(encoder.stack.stages), search)
        block = cast(ConvNeXtBlock, encoder.stack.stages[2])
        self.hidden = block.up.out_features
        self.latent, self.codebook_size = search.stages[0].table.shape
        self.window = encoder.stft.window.double().numpy()
        self.twiddles = fft.twiddles(self.hop_length, np.float64)
        self.slope = (encoder.compress - 1) / 2

    def pack_state(self, wave: Tensor, state: State) -> EncoderState | None:
        """``state`` as :meth:`step` takes it; None for a ``wave`` or ``state`` that it does not."""
        if wave.shape != self.shape or wave.dtype != torch.float32 or wave.requires_grad:
            return None
        samples = wave.numpy()[0]
        if not samples @ samples <= LOUDEST * LOUDEST:  # the checks of all paths decide
            return None
        if isinstance(state, EncoderState):
            return state
        recent, stft, stack = state
        if stft.shape[1] != self.hop_length:  # a part of a hop waits for the rest
            return None
        return EncoderState(recent.numpy()[0], _past(stack))

    def step(
        self, wave: Tensor, num_codebooks: int, latent_error: float, state: EncoderState
    ) -> tuple[NDArray[np.int64], bool, EncoderState]:
        """Codes (codebooks,) of ``wave`` (1, hop_length), and whether a latent error of
        ``latent_error`` (a norm) could change them."""
        codes, near_tie, recent, past = self.encode(
            wave.numpy(),
            state.recent,
            state.past,
            self.reach,
            self.window,
            self.twiddles,
            self.slope,
            (self.hidden, self.latent, num_codebooks, self.codebook_size),
            self.matrices,
            self.scalars,
            latent_error,
        )
        return codes, near_tie, EncoderState(recent, past)


class FrameDecoder:
    """:class:`SpectralDecoder` for the codes of one frame.

    ``vectors`` (codebooks, codebook_size, latent) are the entries whose sum is decoded.
    """

    def __init__(self, decoder: SpectralDecoder, vectors: Tensor):
        from speechlm.kernels import fft, spectral_frame
        from speechlm.kernels.matvec import compact_matrix

        self.decode = spectral_frame.decode_frame
        self.vectors = compact_matrix(vectors)
        self.shapes = {(1, level + 1, 1) for level in range(len(vectors))}
        self.matrices, self.scalars = pack_weights(list(decoder.stack.stages))
        self.hidden = cast(ConvNeXtBlock, decoder.stack.stages[2]).up.out_features
        self.polar = decoder.polar
        self.slope = np.float32((1 / decoder.compress - 1) / 2)
        # A copy: multiprocessing moves the memory of tensors that it sends, under NumPy's views.
        self.window = decoder.istft.window.numpy().copy()
        self.twiddles = fft.twiddles(len(self.window) // 2, np.float32)

    def step(self, codes: Tensor, state: State) -> tuple[Tensor, DecoderState] | None:
        """Samples (1, hop_length) of ``codes`` (1, codebooks, 1), and the state; None for codes of
        another shape or type, ragged ones, and such as there are not."""
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
            self.twiddles,
            self.slope,
            self.polar,
            self.hidden,
            self.matrices,
            self.scalars,
        )
        return (torch.from_numpy(wave), DecoderState(past, overlap)) if whole else None


def _past(stack: States) -> Vector:
    """The states of the blocks (blocks, channels, kernel - 1) from those of a :class:`Chain`."""
    return np.concatenate([state.numpy() for state in stack if isinstance(state, Tensor)])


def _states(past: Vector) -> States:
    """The states of a :class:`Chain` whose blocks have a linear map and a norm on either side."""
    return (), (), *(torch.from_numpy(part) for part in past[:, None]), (), ()


def pack_weights(
    stages: Iterable[nn.Module], search: ResidualSearch | None = None
) -> tuple[NDArray[Any], Vector]:
    """The two buffers of :mod:`speechlm.kernels.spectral_frame`: matrices, and other weights."""
    from speechlm.kernels.matvec import compact_matrix

    matrices: list[Tensor] = []
    scalars: list[Tensor] = []

    def linear(layer: nn.Linear) -> None:
        matrices.append(layer.weight)
        scalars.append(layer.bias)

    def norm(layer: nn.LayerNorm) -> None:
        size = layer.normalized_shape
        weight = torch.ones(size) if layer.weight is None else layer.weight
        bias = torch.zeros(size) if layer.bias is None else layer.bias
        scalars.extend([torch.tensor([layer.eps]), weight, bias])

    for stage in cast(Any, stages):
        if isinstance(stage, ConvNeXtBlock):
            convolution = stage.depthwise.conv
            scalars.extend([convolution.weight, cast(Tensor, convolution.bias)])
            norm(stage.norm)
            linear(stage.up)
            linear(stage.down)
            scalars.append(stage.scale)
        elif isinstance(stage, FrameNorm):
            norm(stage.norm)
        else:
            linear(stage.linear)
    for level in [] if search is None else search.stages:
        matrices.append(level.single)
        scalars.append(torch.tensor([level.slope, level.least, 2 * level.longest]))
        scalars.append(level.shift)
    packed = torch.cat([each.detach().flatten() for each in matrices])
    rest = torch.cat([each.detach().flatten() for each in scalars])
    return compact_matrix(packed), rest.float().numpy()
