"""The recordings of the checks: those of a folder, or a synthetic signal like speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechlm import audio
from speechlm.errors import SpeechLMError
from speechlm.types import Wave

SECONDS = 4.0
"""Length of the longest recording that is used."""


def recordings(folder: Path | None, sample_rate: int, number: int = 3) -> list[Wave]:
    """``number`` recordings (samples,) of different lengths, at most :data:`SECONDS` each.

    Raises:
        SpeechLMError: when the folder has fewer that last a second.
    """
    if folder is None:
        return [synthetic(sample_rate, SECONDS - 0.77 * seed, seed) for seed in range(number)]
    found: list[Wave] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".wav", ".flac", ".ogg", ".opus", ".mp3"):
            continue
        wave, _ = audio.read(path, sample_rate)
        wave = wave[: round((SECONDS - 0.37 * len(found)) * sample_rate)]
        if len(wave) >= sample_rate:
            found.append(wave)
        if len(found) == number:
            return found
    raise SpeechLMError(f"{folder}: holds {len(found)} recordings of a second, not {number}")


def synthetic(sample_rate: int, seconds: float, seed: int = 0) -> Wave:
    """Syllables of harmonics of a gliding pitch through two formants, and of noise, with pauses."""
    random = np.random.default_rng(seed)
    count = round(seconds * sample_rate)
    time = np.arange(count) / sample_rate
    pitch = 120 * 2 ** (0.5 * np.sin(2 * np.pi * 0.7 * time + seed) + 0.3 * seed)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voiced = np.zeros(count)
    first = 500 + 250 * np.sin(2 * np.pi * 1.3 * time)
    second = 1600 + 500 * np.sin(2 * np.pi * 0.9 * time + 1)
    for harmonic in range(1, 40):
        frequency = harmonic * pitch
        gain = np.exp(-(((frequency - first) / 200) ** 2))
        gain += 0.4 * np.exp(-(((frequency - second) / 300) ** 2)) + 0.02
        voiced += gain * np.sin(harmonic * phase) * (frequency < 0.45 * sample_rate)
    noise = 0.3 * random.standard_normal(count)
    syllable = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None) ** 0.5
    fricative = np.clip(np.sin(2 * np.pi * 2.5 * time + 2.2), 0, None) ** 2
    wave = syllable * voiced + fricative * noise
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)
