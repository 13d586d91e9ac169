"""A loss on band-passed waveforms: it depends on phase where speech has its harmonics."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speechlm.training.losses.wave_pair import WavePair


class BandWaveformLoss(nn.Module):
    """Distance of waveforms between ``low`` and ``high`` Hz, relative to the target's level there.

    The sum of the mean absolute (L1) and the root mean square (L2) difference of an example, each
    divided by the root mean square of the band-passed target; a mean over examples. An estimate of
    silence scores at most 2, one with unrelated phase more.

    The filter is exact in the frequency domain of the whole crop, with raised-cosine edges a
    quarter of an octave wide.
    """

    def __init__(self, sample_rate: int, low: float = 300.0, high: float = 3000.0):
        super().__init__()
        self.sample_rate = sample_rate
        self.low = low
        self.high = high

    def forward(self, pair: WavePair) -> Tensor:
        error = self.band_pass(pair.estimate - pair.target)
        level = self.band_pass(pair.target).square().mean(dim=1).sqrt().clamp_min(1e-3)
        absolute = error.abs().mean(dim=1)
        # The slope of a root is not bounded at zero.
        squared = (error.square().mean(dim=1) + 1e-10).sqrt()
        return ((absolute + squared) / level).mean()

    def band_pass(self, wave: Tensor) -> Tensor:
        """``wave`` (batch, samples) without what is outside of the band."""
        samples = wave.shape[1]
        hertz = torch.fft.rfftfreq(samples, 1 / self.sample_rate, device=wave.device)
        octaves = hertz.clamp_min(1e-3).log2()
        rise = (octaves - torch.tensor(self.low).log2()) * 4 + 1
        fall = (torch.tensor(self.high).log2() - octaves) * 4 + 1
        gain = (torch.pi / 2 * torch.minimum(rise, fall).clamp(0, 1)).sin().square()
        return torch.fft.irfft(torch.fft.rfft(wave) * gain, samples)
