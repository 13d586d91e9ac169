"""What the vocoder filters: pulses at a pitch, and noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechlm.nn import State, Streaming

NOISE = 512
"""Hops after which the noise comes again: 5 s, too long to hear."""


class HarmonicSource(Streaming):
    """Pitch in Hz (batch, 1, frames), 0 where unvoiced, to (batch, 2, frames * hop_length).

    The first row is a pulse train with all harmonics below half the sample rate, of unit power
    where it is voiced; the second is white noise of unit power. Pitch glides within a hop from that
    of the frame before; where one of them is unvoiced, the pulses fade in or out. The state is the
    pitch, the phase in periods and the place in the noise: nothing jumps between chunks.
    """

    noise: Tensor
    ramp: Tensor

    def __init__(self, hop_length: int, sample_rate: int):
        super().__init__()
        self.hop_length, self.sample_rate = hop_length, sample_rate
        table = torch.randn(NOISE, hop_length, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", table, persistent=False)
        ramp = torch.arange(1, hop_length + 1, dtype=torch.float64) / hop_length
        self.register_buffer("ramp", ramp, persistent=False)

    def initial_state(self, like: Tensor) -> State:
        zeros = like.new_zeros(len(like), 1, dtype=torch.float64)
        return zeros, zeros, torch.zeros(len(like), dtype=torch.int64, device=like.device)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        before, phase, place = state
        frames = x.shape[2]
        if frames == 0:
            return x.new_zeros(len(x), 2, 0), state
        pitch = x[:, 0].double()
        old = torch.cat([before, pitch[:, :-1]], dim=1)
        start, end = torch.where(old > 0, old, pitch), torch.where(pitch > 0, pitch, old)
        glide = torch.lerp(start[..., None], end[..., None], self.ramp).flatten(1)
        sounds = torch.lerp(
            (old > 0).double()[..., None], (pitch > 0).double()[..., None], self.ramp
        )
        phases = phase + glide.cumsum(dim=1) / self.sample_rate
        pulses = self._pulses(phases, glide) * sounds.flatten(1)
        rows = (place[:, None] + torch.arange(frames, device=x.device)) % NOISE
        sound = torch.stack([pulses.to(x.dtype), self.noise[rows].flatten(1).to(x.dtype)], dim=1)
        return sound, (pitch[:, -1:], phases[:, -1:] % 1, (place + frames) % NOISE)

    def _pulses(self, phases: Tensor, pitch: Tensor) -> Tensor:
        """The sum of cos(2 pi k phase) over the harmonics k, by its closed form."""
        harmonics = (0.5 * self.sample_rate / pitch.clamp_min(1.0)).floor().clamp_min(1.0)
        angle = math.pi * (phases % 1)
        under = angle.sin()
        near = under.abs() < 1e-6
        ratio = ((2 * harmonics + 1) * angle).sin() / torch.where(near, 1.0, under)
        total = torch.where(near, harmonics, 0.5 * (ratio - 1))
        return total * (2 / harmonics).sqrt()
