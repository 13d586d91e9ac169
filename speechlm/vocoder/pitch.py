"""Pitch of speech: what a vocoder learns to sing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LOWEST, HIGHEST = 60.0, 400.0
VOICED = 0.5
"""Of the energy of a window, the share that must repeat after a period."""
WINDOW = 0.04
"""Seconds compared with what follows them by a period."""
SILENT = 1e-7
"""Mean power below which nothing is voiced."""
OCTAVE = 0.06
"""What a period twice as long must be better by: it repeats as well as the true one does."""


@torch.no_grad()
def track(wave: Tensor, hop_length: int, sample_rate: int) -> Tensor:
    """Pitch in Hz, (batch, samples // hop), of ``wave`` (batch, samples); 0 where unvoiced.

    Around the middle of each hop, the period is that of the largest normalised cross-correlation
    (Talkin 1995), less a little for long ones, interpolated between samples. What lies above 2 kHz
    is left out: a sharp pulse finds its like only where the period is a whole number of samples.
    """
    shortest, longest = int(sample_rate / HIGHEST), int(sample_rate / LOWEST)
    window = round(WINDOW * sample_rate)
    reach = window + longest
    before = reach // 2 - hop_length // 2
    frames = wave.shape[1] // hop_length
    if not frames:
        return wave.new_zeros(len(wave), 0)
    smooth = 2 * (sample_rate // 4000) + 1
    for _ in range(2):
        wave = F.avg_pool1d(wave[:, None], smooth, 1, smooth // 2)[:, 0]
    padded = F.pad(wave, (before, reach))
    pieces = padded.unfold(1, reach, hop_length)[:, :frames]
    size = 1 << (reach + window - 1).bit_length()
    head = torch.fft.rfft(pieces[..., :window], size)
    products = torch.fft.irfft(torch.fft.rfft(pieces, size) * head.conj(), size)[..., : longest + 1]
    power = F.pad(pieces.square().cumsum(dim=2), (1, 0))
    energy = power[..., window:] - power[..., : longest + 1]
    likeness = products / (energy[..., :1] * energy).clamp_min(1e-12).sqrt()
    lags = torch.arange(longest + 1, device=wave.device)
    penalty = OCTAVE * torch.log2(lags.clamp_min(1) / shortest)
    best = (likeness - penalty)[..., shortest:longest].argmax(dim=2) + shortest
    near = torch.stack([best - 1, best, best + 1], dim=2)
    left, middle, right = likeness.gather(2, near).unbind(dim=2)
    curve = (left - 2 * middle + right).clamp_max(-1e-6)
    period = best + (0.5 * (left - right) / curve).clamp(-0.5, 0.5)
    voiced = (middle > VOICED) & (energy[..., 0] / window > SILENT)
    return torch.where(voiced, sample_rate / period, 0.0)
