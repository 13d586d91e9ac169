"""Recordings of any kind -> what a prepared corpus stores: 16 kHz, mono, within [-1, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechlm.errors import SpeechLMError

SAMPLE_RATE = 16000
SILENCE = 10 ** (-50 / 20)
"""A recording whose peak is lower (-50 dBFS) holds no speech."""


def read(path: Path) -> tuple[np.ndarray, int]:
    """Read any file that libsndfile knows, and G.722, as float32 (samples,) and its rate."""
    if path.suffix == ".g722":
        return read_g722(path)
    import soundfile

    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SpeechLMError(f"{path}: {error}") from None
    return wave.mean(axis=1), rate


def read_g722(path: Path) -> tuple[np.ndarray, int]:
    """Decode headerless G.722 (ITU-T, 64 kbit/s, 16 kHz) with the FFmpeg that PyAV brings."""
    import av

    if path.stat().st_size == 0:
        return np.zeros(0, np.float32), SAMPLE_RATE
    try:
        with av.open(str(path), format="g722") as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    except av.FFmpegError as error:
        raise SpeechLMError(f"{path}: {error}") from None
    return np.concatenate(frames).astype(np.float32) / 32768, SAMPLE_RATE


def conform(wave: np.ndarray, rate: int) -> np.ndarray:
    """Resample to 16 kHz; scale down (never up) where the peak exceeds full scale.

    Levels are otherwise left as they were recorded. Scaling the whole recording, unlike clipping,
    adds no distortion.
    """
    if rate != SAMPLE_RATE and wave.size:
        import torch
        from torchaudio.functional import resample

        wave = resample(torch.from_numpy(wave), rate, SAMPLE_RATE).numpy()
    peak = float(np.abs(wave).max(initial=0.0))
    return wave * np.float32(0.999 / peak) if peak > 0.999 else wave
