"""How much a frame's error is heard: by its loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speechlm.types import Floats

EXPONENT = 0.15
"""Weights are energy to this power: as magnitudes are compressed in the codec's own losses."""
_LEAST = 1e-8  # -80 dBFS: quieter is silence
_TYPICAL = 1e-3  # -30 dBFS: loud frames of speech
_FADE = 0.5 ** (1 / 2)  # of the reference, per second: 3 dB in two


def weights(energy: Floats, reference: Floats | float | None = None) -> Floats:
    """Weights (frames,) of frames of so much mean square; 1 for those of ``reference``.

    By default that is the loudness which a frame in twenty exceeds.
    """
    if reference is None:
        reference = float(np.quantile(energy, 0.95)) if energy.size else 1.0
    return (np.maximum(energy, _LEAST) / np.maximum(reference, _LEAST)) ** EXPONENT


class Loudness:
    """Mean squares of a stream, hop by hop, each with the one before it."""

    def __init__(self, hop_length: int, sample_rate: int) -> None:
        self._hop = hop_length
        self._fade = _FADE ** (hop_length / sample_rate)
        self._rest = np.zeros(0, np.float32)
        self._last = 0.0
        self._ready = np.zeros(0)
        self._reference = _TYPICAL

    def push(self, wave: NDArray[np.float32]) -> None:
        """Take samples (samples,)."""
        wave = np.concatenate([self._rest, wave])
        whole = len(wave) // self._hop
        self._rest = wave[whole * self._hop :]
        hops = wave[: whole * self._hop].reshape(whole, self._hop).astype(np.float64)
        power = np.concatenate([[self._last], np.square(hops).mean(axis=1)])
        self._last = float(power[-1])
        self._ready = np.concatenate([self._ready, (power[1:] + power[:-1]) / 2])

    def take(self, frames: int) -> Floats:
        """Mean squares of the next ``frames`` frames; silence after the end."""
        taken, self._ready = self._ready[:frames], self._ready[frames:]
        return np.pad(taken, (0, frames - len(taken)))

    def take_weights(self, frames: int) -> Floats:
        """Their weights, to the loudest frame of the last seconds."""
        energy = self.take(frames)
        reference = np.empty(frames)
        for frame, now in enumerate(energy):
            self._reference = max(self._reference * self._fade, now)
            reference[frame] = self._reference
        return weights(energy, reference)
