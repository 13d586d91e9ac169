"""Discriminators and the losses of an adversarial phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from speechlm.nn import collective

Features = list[Tensor]


class SpectrogramDiscriminator(nn.Module):
    """Convolutions over the complex spectrogram of one resolution.

    After the multi-scale STFT discriminator of EnCodec (Défossez et al. 2022), narrower and with
    strides over frequency, so that a CPU can afford it. Returns the feature maps of every layer;
    the last one is the map of scores.
    """

    hann: Tensor

    def __init__(self, window: int, channels: int):
        super().__init__()
        self.window = window
        self.register_buffer("hann", torch.hann_window(window), persistent=False)
        widths = [2, channels, channels, 2 * channels, 2 * channels]
        dilations = [1, 1, 2, 4]
        layers = []
        for width, after, d in zip(widths, widths[1:], dilations, strict=False):
            layer = nn.Conv2d(width, after, (3, 5), (1, 2), padding=(d, 2), dilation=(d, 1))
            layers.append(weight_norm(layer))
        self.layers = nn.ModuleList(layers)
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, wave: Tensor) -> Features:
        """Feature maps (batch, channels, frames, bins) of ``wave`` (batch, samples)."""
        spectrum = torch.stft(
            wave, self.window, self.window // 4, window=self.hann, return_complex=True
        )
        # Unit-variance noise has unit-variance bins, so every resolution sees the same scale.
        spectrum = spectrum * self.hann.square().sum().rsqrt()
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return [*features, self.score(x)]


class Discriminators(nn.Module):
    """One :class:`SpectrogramDiscriminator` for each of ``windows``."""

    def __init__(self, windows: Sequence[int], channels: int):
        super().__init__()
        self.each = nn.ModuleList(SpectrogramDiscriminator(window, channels) for window in windows)

    def forward(self, wave: Tensor) -> list[Features]:
        # Speech is quiet for a network with weights of unit scale.
        wave = wave / wave.square().mean(dim=1, keepdim=True).clamp_min(1e-4).sqrt()
        return [cast(Features, discriminator(wave)) for discriminator in self.each]


def discriminator_loss(real: list[Features], fake: list[Features]) -> Tensor:
    """Hinge loss of the discriminators: real scores above one, fake ones under minus one."""
    losses = [
        F.relu(1 - x[-1]).mean() + F.relu(1 + y[-1]).mean() for x, y in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(fake: list[Features]) -> Tensor:
    """Hinge loss of what is to be taken for real: higher scores are better."""
    return torch.stack([-features[-1].mean() for features in fake]).mean()


def feature_loss(real: list[Features], fake: list[Features]) -> Tensor:
    """Feature matching: distance of each layer's maps, relative to their size in real speech.

    The division keeps a discriminator from winning weight by growing its features (EnCodec).
    """
    losses = [
        (a.detach() - b).abs().mean() / collective.mean(a.abs().mean()).clamp_min(1e-5)
        for x, y in zip(real, fake, strict=True)
        for a, b in zip(x[:-1], y[:-1], strict=True)
    ]
    return torch.stack(losses).mean()
