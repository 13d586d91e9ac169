"""Recordings of any kind -> what a prepared corpus stores: one rate, mono, within [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechlm import audio
from speechlm.errors import SpeechLMError

G722_RATE = 16000
SILENCE = 10 ** (-50 / 20)
"""A recording whose peak is lower (-50 dBFS) holds no speech."""
DC_OFFSET = 0.005
"""A mean beyond this (-46 dBFS) is a recorder's fault, and is taken out."""


def read_g722(path: Path) -> tuple[np.ndarray, int]:
    """Decode headerless G.722 (ITU-T, 64 kbit/s) with the FFmpeg that PyAV brings.

    Returns:
        float32 (samples,), and its rate, 16 kHz.

    Raises:
        SpeechLMError: when the file is empty or FFmpeg refuses it.
    """
    import av

    try:
        with av.open(str(path), format="g722") as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    except (av.FFmpegError, IndexError) as error:
        raise SpeechLMError(f"{path}: {error}") from None
    if not frames:
        raise SpeechLMError(f"{path}: holds no samples")
    return np.concatenate(frames).astype(np.float32) / 32768, G722_RATE


def conform(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Resample to ``wanted`` Hz, take out a constant offset, scale down a peak beyond full scale.

    Levels are otherwise left as they were recorded. Scaling the whole recording, unlike clipping,
    adds no distortion; a faultless recording at that rate comes back as it is.
    """
    wave = audio.resample(wave, rate, wanted)
    offset = wave.mean()
    if abs(offset) > DC_OFFSET:
        wave = wave - offset
    peak = float(np.abs(wave).max())
    return wave * np.float32(0.999 / peak) if peak > 0.999 else wave
