"""The spectral codec: ConvNeXt stacks at the frame rate between an STFT and its inverse.

Vocos (Siuzdak 2023) as a causal autoencoder. A frame-rate stack spends its arithmetic where the
information is: it costs a twentieth of a sample-rate stack of the same number of weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.codec.config import CodecConfig
from speechlm.nn import (
    CausalISTFT,
    CausalSTFT,
    Chain,
    ConvNeXtBlock,
    State,
    Streaming,
    power_law,
)


class FrameNorm(nn.Module):
    """Layer normalisation over the channels of each frame, (batch, channels, time)."""

    def __init__(self, channels: int, affine: bool = True):
        super().__init__()
        self.norm = nn.LayerNorm(channels, elementwise_affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        y = torch.layer_norm(
            x.transpose(1, 2), norm.normalized_shape, norm.weight, norm.bias, norm.eps
        )
        return y.transpose(1, 2)


class FrameLinear(nn.Module):
    """A linear map of the channels of each frame, (batch, channels, time)."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.linear = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.transpose(1, 2), self.linear.weight, self.linear.bias).transpose(1, 2)


class SpectralEncoder(Streaming):
    """Waveform (batch, samples) to latents (batch, latent, samples // hop)."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        spectral, dim = config.spectral, config.spectral.encoder_dim
        self.compress = spectral.compress
        self.stft = CausalSTFT(config.hop_length, 2 * config.hop_length)
        self.stack = Chain(
            FrameLinear(2 * (config.hop_length + 1), dim),
            FrameNorm(dim),
            *(ConvNeXtBlock(dim) for _ in range(spectral.encoder_blocks)),
            FrameNorm(dim),
            FrameLinear(dim, config.latent),
            # Without a bound the latents outrun a moving-average codebook.
            FrameNorm(config.latent, affine=False),
        )

    def initial_state(self, like: Tensor) -> State:
        return self.stft.initial_state(like), self.stack.initial_state(like)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        spectrum, stft = self.stft.step(x, state[0])
        z, stack = self.stack.step(self.features(spectrum), state[1])
        return z, (stft, stack)

    def features(self, spectrum: Tensor) -> Tensor:
        """What the stack takes, (batch, 2 * bins, frames), of a complex (batch, bins, frames)."""
        return torch.cat(power_law(spectrum.real, spectrum.imag, self.compress), dim=1)


class SpectralDecoder(Streaming):
    """Latents (batch, latent, frames) to waveform (batch, frames * hop_length), late by the
    overlap."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        spectral, dim = config.spectral, config.spectral.decoder_dim
        if spectral.head not in ("complex", "polar"):
            raise ValueError(f"spectral.head is 'complex' or 'polar', not {spectral.head!r}")
        self.compress = spectral.compress
        self.polar = spectral.head == "polar"
        overlap = config.hop_length if spectral.overlap is None else spectral.overlap
        self.bins = (config.hop_length + overlap) // 2 + 1
        self.stack = Chain(
            FrameLinear(config.latent, dim),
            FrameNorm(dim),
            *(ConvNeXtBlock(dim) for _ in range(spectral.decoder_blocks)),
            FrameNorm(dim),
            FrameLinear(dim, 2 * self.bins),
        )
        self.istft = CausalISTFT(config.hop_length, overlap)

    def output_heads(self) -> list[nn.Module]:
        """The layer that gives the spectrum."""
        return [self.stack.stages[-1]]

    def initial_state(self, like: Tensor) -> State:
        # The overlap is kept in the precision of the waveform, whatever the stack computes in.
        wave = like if like.dtype == torch.float64 else like.float()
        return self.stack.initial_state(like), self.istft.initial_state(wave)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, stack = self.stack.step(x, state[0])
        first, second = (y if y.dtype == torch.float64 else y.float()).chunk(2, dim=1)
        if self.polar:
            # The bound keeps an early exponential from throwing the training.
            spectrum = torch.polar(first.clamp(max=5).exp(), second)
        else:
            spectrum = torch.complex(*power_law(first, second, 1 / self.compress))
        wave, istft = self.istft.step(spectrum, state[1])
        return wave, (stack, istft)
