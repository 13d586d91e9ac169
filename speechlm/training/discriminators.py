"""Discriminators of waveforms, narrow enough to train on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from speechlm.errors import SpeechLMError
from speechlm.training.losses.adversarial import Features
from speechlm.training.losses.wave_pair import stft

SLOPE = 0.2
"""Of the leaky rectifiers, below zero."""


@dataclass
class DiscriminatorConfig:
    """Which discriminators there are: one for each window, banded window and period."""

    stft_windows: list[int] = field(default_factory=lambda: [256, 512, 1024])
    """Windows of :class:`STFTDiscriminator`, in samples."""
    stft_channels: int = 16
    banded_windows: list[int] = field(default_factory=list)
    """Windows of :class:`BandedSTFTDiscriminator`, such as [512, 1024, 2048]."""
    banded_channels: int = 8
    bands: list[float] = field(default_factory=lambda: [0.1, 0.25, 0.5, 0.75])
    """Edges between the bands, as fractions of half the sampling rate."""
    periods: list[int] = field(default_factory=list)
    """Periods of :class:`PeriodDiscriminator`, in samples, such as [2, 3, 5, 7, 11]."""
    period_channels: int = 8


class STFTDiscriminator(nn.Module):
    """Convolutions over the complex spectrogram of one resolution.

    After the multi-scale STFT discriminator of EnCodec (Défossez et al. 2022), narrower and with
    strides over frequency.
    """

    def __init__(self, window: int, channels: int):
        super().__init__()
        self.window = window
        widths = [2, channels, channels, 2 * channels, 2 * channels]
        dilations = [1, 1, 2, 4]
        self.layers = nn.ModuleList(
            _conv(inputs, outputs, (3, 5), (1, 2), (dilation, 2), (dilation, 1))
            for (inputs, outputs), dilation in zip(pairwise(widths), dilations, strict=True)
        )
        self.score = _conv(widths[-1], 1, (3, 3), padding=(1, 1))

    def forward(self, wave: Tensor) -> Features:
        """Feature maps (batch, channels, frames, bins) of ``wave`` (batch, samples).

        The last one has one channel: the scores.
        """
        x = _complex_channels(wave, self.window)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return [*features, self.score(x)]


class BandedSTFTDiscriminator(nn.Module):
    """Convolutions of their own for each band of a complex spectrogram, joined for the scores.

    The multi-resolution discriminator of DAC (Kumar et al. 2023), with three layers a band in the
    place of five. Weights of their own let the lowest band, where speech has its harmonics, be
    judged by other patterns than the noise above.

    Raises:
        SpeechLMError: when the edges of the bands do not rise from zero to one, or a band has no
            bin.
    """

    def __init__(self, window: int, channels: int, edges: Sequence[float]):
        super().__init__()
        self.window = window
        bins = window // 2 + 1
        self.edges = [0, *(round(edge * bins) for edge in edges), bins]
        if any(low >= high for low, high in pairwise(self.edges)):
            raise SpeechLMError(
                "adversarial.discriminators.bands: fractions that rise between 0 and 1, with bins "
                f"of a window of {window} between them, not {list(edges)}"
            )
        self.bands = nn.ModuleList(
            nn.ModuleList(
                [
                    _conv(2, channels, (3, 9), padding=(1, 4)),
                    _conv(channels, channels, (3, 9), (1, 2), (1, 4)),
                    _conv(channels, channels, (3, 9), (1, 2), (1, 4)),
                ]
            )
            for _ in pairwise(self.edges)
        )
        self.score = _conv(channels, 1, (3, 3), padding=(1, 1))

    def forward(self, wave: Tensor) -> Features:
        """As of :class:`STFTDiscriminator`; the maps of each band, and the scores of all bands."""
        x = _complex_channels(wave, self.window)
        features, last = [], []
        for layers, (low, high) in zip(self.bands, pairwise(self.edges), strict=True):
            band = x[..., low:high]
            for layer in cast(nn.ModuleList, layers):
                band = F.leaky_relu(layer(band), SLOPE)
                features.append(band)
            last.append(band)
        return [*features, self.score(torch.cat(last, dim=3))]


class PeriodDiscriminator(nn.Module):
    """Convolutions over every ``period``-th sample: HiFi-GAN's (Kong et al. 2020), narrower.

    The waveform is folded to (samples / period, period), and the kernels span the first axis only.
    """

    def __init__(self, period: int, channels: int):
        super().__init__()
        self.period = period
        widths = [1, channels, 2 * channels, 4 * channels, 4 * channels]
        self.layers = nn.ModuleList(
            _conv(inputs, outputs, (5, 1), (3, 1), (2, 0)) for inputs, outputs in pairwise(widths)
        )
        self.score = _conv(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wave: Tensor) -> Features:
        """Feature maps (batch, channels, time, period) of ``wave`` (batch, samples)."""
        x = F.pad(wave, (0, -wave.shape[1] % self.period))
        x = x.unflatten(1, (-1, self.period))[:, None]
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return [*features, self.score(x)]


class Discriminators(nn.Module):
    """All discriminators of a configuration, on waveforms of equal level.

    Raises:
        SpeechLMError: when there are none, or for bands that do not fit a window.
    """

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        networks = [
            *(STFTDiscriminator(window, config.stft_channels) for window in config.stft_windows),
            *(
                BandedSTFTDiscriminator(window, config.banded_channels, config.bands)
                for window in config.banded_windows
            ),
            *(PeriodDiscriminator(period, config.period_channels) for period in config.periods),
        ]
        if not networks:
            raise SpeechLMError("adversarial.discriminators: no window and no period is given")
        # The name that checkpoints have.
        self.each = nn.ModuleList(networks)

    def forward(self, wave: Tensor) -> list[Features]:
        """The feature maps of each discriminator, of ``wave`` (batch, samples)."""
        # Speech is quiet for a network with weights of unit scale.
        wave = wave / wave.square().mean(dim=1, keepdim=True).clamp_min(1e-4).sqrt()
        return [cast(Features, network(wave)) for network in self.each]


def _complex_channels(wave: Tensor, window: int) -> Tensor:
    """Real and imaginary parts (batch, 2, frames, bins) of the STFT of ``wave``."""
    return torch.view_as_real(stft(wave, window)).permute(0, 3, 1, 2)


def _conv(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
) -> nn.Module:
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation))
