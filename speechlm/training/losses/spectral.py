"""Multi-resolution spectral losses: log-mel, log-magnitude, and power-law complex spectra.

Each is a module from a :class:`~speechlm.training.losses.wave_pair.WavePair` to a scalar, a mean
over its windows. With ``pair.resolutions`` a random subset of the windows stands for all: the same
expectation at a fraction of the time, which is a third of a training step where all are computed.
"""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn

from speechlm.training.losses.wave_pair import WavePair

FLOOR = 1e-3
"""Magnitude below which differences of logarithms vanish; white noise of unit variance has 1."""


class LogMelLoss(nn.Module):
    """Mean absolute difference of natural-log mel magnitudes, as in DAC (Kumar et al. 2023)."""

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048),
        mels: tuple[int, ...] = (6, 12, 24, 48, 96, 160),
        floor: float = FLOOR,
    ):
        super().__init__()
        self.windows = windows
        self.floor = floor
        for window, bins in zip(windows, mels, strict=True):
            bank = torchaudio.functional.melscale_fbanks(
                window // 2 + 1, 0.0, sample_rate / 2, bins, sample_rate, None, "slaney"
            )
            self.register_buffer(f"bank{window}", bank, persistent=False)

    def forward(self, pair: WavePair) -> Tensor:
        losses = []
        for window in pair.draw(self.windows):
            bank = getattr(self, f"bank{window}")
            estimate, target = (power @ bank for power in pair.powers(window))
            losses.append(_log_distance(estimate, target, self.floor))
        return torch.stack(losses).mean()


class LogMagnitudeLoss(nn.Module):
    """Mean absolute difference of the log magnitudes of each bin.

    From Parallel WaveGAN (Yamamoto et al. 2020). A mel band is satisfied by one spectral line as
    well as by noise, so a decoder that cannot have the phase rings; this loss is not.
    """

    def __init__(self, windows: tuple[int, ...] = (512, 1024, 2048), floor: float = FLOOR):
        super().__init__()
        self.windows = windows
        self.floor = floor

    def forward(self, pair: WavePair) -> Tensor:
        losses = [
            _log_distance(*pair.powers(window), self.floor) for window in pair.draw(self.windows, 1)
        ]
        return torch.stack(losses).mean()


class CompressedComplexLoss(nn.Module):
    """Mean absolute difference of complex spectra compressed to ``|X|^exponent``.

    From Ephrat et al. 2018 and Braun & Tashev 2020; real and imaginary parts are summed. Of the
    spectral losses it alone depends on the phase.

    With ``focus_hz`` (low, high) bins count fully up to ``low`` and a tenth from ``high`` on, at
    the same mean weight. The loss then asks for phase where codes can carry it, and does not shrink
    the magnitudes where they cannot.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[int, ...] = (256, 512, 1024),
        exponent: float = 0.3,
        focus_hz: tuple[float, float] | None = None,
    ):
        super().__init__()
        self.windows = windows
        self.exponent = exponent
        for window in windows:
            weight = torch.ones(window // 2 + 1)
            if focus_hz is not None:
                low, high = focus_hz
                hertz = torch.linspace(0, sample_rate / 2, window // 2 + 1)
                weight = 1 - 0.9 * ((hertz - low) / (high - low)).clamp(0, 1)
            self.register_buffer(f"weight{window}", weight / weight.mean(), persistent=False)

    def forward(self, pair: WavePair) -> Tensor:
        losses = []
        for window in pair.draw(self.windows, 1):
            estimate, target = (
                torch.view_as_real(spectrum) * self._compression(power)[..., None]
                for spectrum, power in zip(pair.spectra(window), pair.powers(window), strict=True)
            )
            weight = getattr(self, f"weight{window}")[:, None]
            losses.append(2 * ((estimate - target).abs() * weight).mean())
        return torch.stack(losses).mean()

    def _compression(self, power: Tensor) -> Tensor:
        """Factor for a bin of this power; by logarithm, twice as fast as by pow."""
        return torch.exp(torch.log(power + 1e-10) * ((self.exponent - 1) / 2))


def _log_distance(estimate: Tensor, target: Tensor, floor: float) -> Tensor:
    # Of powers, since the slope of a magnitude is not bounded at zero.
    difference = torch.log(estimate + floor**2) - torch.log(target + floor**2)
    return 0.5 * difference.abs().mean()
