"""Made-up voices: tests need no recording."""

from __future__ import annotations

import numpy as np

RATE = 16000


def voice(seconds: float = 1.5, pitch: float = 120.0, seed: int = 0) -> np.ndarray:
    """Something that metrics take for speech: syllables of harmonics over a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    glide = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 1.3 * time))) / RATE
    tone = sum(np.sin(k * glide) / k for k in range(1, 30))
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * time + rng.uniform(0, 6)), 0, None) ** 0.5
    wave = 0.1 * tone * syllables + 3e-4 * rng.standard_normal(len(time))
    return wave.astype(np.float32)


def noisy(wave: np.ndarray, snr: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(len(wave))
    scale = np.sqrt(np.mean(wave**2) / np.mean(noise**2) / 10 ** (snr / 10))
    return (wave + scale * noise).astype(np.float32)
