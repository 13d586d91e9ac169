"""The spectral codec on a single frame, where calls cost more than arithmetic.

A frame is a few dozen products of a matrix with a vector and small sums between them. Called one by
one from Python, the small sums take longer than the products, whose time is that of reading the
weights; and as these are more than a cache holds, the code of each call has to be fetched again.
Here all between a spectrum and codes is one compiled call (:mod:`speechlm.codec.kernels`), and what
is around it NumPy's. It takes and gives the very states of :mod:`speechlm.codec.spectral`, so a
stream may change from one to the other between any two chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speechlm.codec.spectral import FrameNorm, SpectralDecoder, SpectralEncoder
from speechlm.nn import ConvNeXtBlock, State, Streaming, available
from speechlm.quantize import Quantizer, ResidualQuantizer
from speechlm.quantize.search import ResidualSearch

if TYPE_CHECKING:
    from speechlm.codec.kernels import Blocks, Codebook, Linear, Norm, Stack

Vector = NDArray[np.float32]
States = Sequence[State]


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

        *stages, final = encoder.stack.stages
        self.encode = kernels.encode
        self.stack = _stack(stages)
        self.final = _norm(cast(FrameNorm, final).norm)
        self.codebook = codebook(search)
        self.window = encoder.stft.window.double().numpy()
        self.slope = (encoder.compress - 1) / 2

    def step(
        self, wave: NDArray[np.float64], levels: int, drift: float, state: State
    ) -> tuple[NDArray[np.int64], bool, State]:
        """Codes (1, levels) of ``wave`` (1, hop), and whether they are doubtful when latents are
        off by ``drift``. The state holds no part of a hop."""
        stft, stack = state
        frame = np.concatenate([stft.numpy(), wave], axis=1)[0]
        spectrum = np.fft.rfft(frame * self.window)
        codes = np.empty((1, levels), np.int64)
        doubtful, after = self.encode(
            spectrum,
            self.slope,
            _past(stack),
            self.stack,
            self.final,
            self.codebook,
            drift,
            codes[0],
        )
        return codes, doubtful, (torch.from_numpy(wave), (*_states(after), ()))


class FrameDecoder:
    """:class:`SpectralDecoder` for the codes of one frame.

    ``vectors`` (levels, cardinality, latent) are the entries whose sum is decoded.
    """

    def __init__(self, decoder: SpectralDecoder, vectors: Tensor):
        from speechlm.codec import kernels
        from speechlm.nn.kernels import matrix

        self.decode = kernels.decode
        self.vectors = matrix(vectors)
        self.shapes = {(1, level + 1, 1) for level in range(len(vectors))}
        self.stack = _stack(list(decoder.stack.stages))
        self.polar = decoder.polar
        self.slope = np.float32((1 / decoder.compress - 1) / 2)
        self.hop = decoder.istft.hop
        self.window = decoder.istft.window.numpy()

    def step(self, codes: Tensor, state: State) -> tuple[Tensor, State] | None:
        """Samples (1, hop) of ``codes`` (1, levels, 1), and the state; None for codes of another
        shape or type, ragged ones, and such as there are not."""
        if codes.dtype != torch.int64 or codes.shape not in self.shapes:
            return None
        stack, overlap = state
        whole, spectrum, after = self.decode(
            codes.numpy()[0, :, 0], self.vectors, _past(stack), self.stack, self.slope, self.polar
        )
        if not whole:
            return None
        frame = np.fft.irfft(spectrum, 2 * self.hop) * self.window
        wave = overlap.numpy()[0] + frame[: self.hop]
        rest = torch.from_numpy(frame[None, None, self.hop :])
        return torch.from_numpy(wave), (_states(after), rest)


def codebook(search: ResidualSearch) -> Codebook:
    """What the compiled search reads."""
    from speechlm.codec import kernels
    from speechlm.nn.kernels import matrix

    def each(values: Iterable[float]) -> Vector:
        return np.array(list(values), np.float32)

    return kernels.Codebook(
        matrix(torch.stack([stage.single for stage in search.stages])),
        np.stack([stage.shift.numpy() for stage in search.stages]),
        each(stage.slope for stage in search.stages),
        each(stage.least for stage in search.stages),
        each(2 * stage.longest for stage in search.stages),
    )


def _past(stack: States) -> Vector:
    """What blocks remember (blocks, channels, kernel - 1), of the states of a :class:`Chain`."""
    return np.concatenate([state.numpy() for state in stack if isinstance(state, Tensor)])


def _states(past: Vector) -> States:
    """The states of a :class:`Chain` whose blocks have a linear map and a norm on either side."""
    return (), (), *(torch.from_numpy(part) for part in past[:, None]), (), ()


def _stack(stages: Sequence[nn.Module]) -> Stack:
    from speechlm.codec import kernels

    first, before, *blocks, behind, last = cast(Any, stages)
    return kernels.Stack(
        _linear(first.linear),
        _norm(before.norm),
        _blocks(blocks),
        _norm(behind.norm),
        _linear(last.linear),
    )


def _blocks(blocks: Sequence[ConvNeXtBlock]) -> Blocks:
    from speechlm.codec import kernels

    convolutions = [block.depthwise.conv for block in blocks]
    return kernels.Blocks(
        _array([conv.weight[:, 0] for conv in convolutions]),
        _array([cast(Tensor, conv.bias) for conv in convolutions]),
        _norm(*(block.norm for block in blocks)),
        _linear(*(block.up for block in blocks)),
        _linear(*(block.down for block in blocks)),
        _array([block.scale for block in blocks]),
    )


def _linear(*layers: nn.Linear) -> Linear:
    from speechlm.codec import kernels
    from speechlm.nn.kernels import matrix

    weights = torch.stack([layer.weight for layer in layers])
    return kernels.Linear(matrix(weights), _array([layer.bias for layer in layers]))


def _norm(*layers: nn.LayerNorm) -> Norm:
    from speechlm.codec import kernels

    size = layers[0].normalized_shape
    weights = [torch.ones(size) if layer.weight is None else layer.weight for layer in layers]
    biases = [torch.zeros(size) if layer.bias is None else layer.bias for layer in layers]
    return kernels.Norm(_array(weights), _array(biases), layers[0].eps)


def _array(parts: Sequence[Tensor]) -> Vector:
    """In a row."""
    return torch.stack(list(parts)).detach().numpy()
