"""Recordings of any kind -> what a prepared corpus stores: one rate, mono, within [-1, 1]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


@dataclass(frozen=True)
class Levels:
    """How many samples a recording has, their mean, the lowest and the highest."""

    samples: int
    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, pieces: Iterable[np.ndarray]) -> Levels:
        """Those of pieces (samples,) that follow one another."""
        samples, total, low, high = 0, 0.0, np.inf, -np.inf
        for piece in pieces:
            if len(piece):
                samples += len(piece)
                total += float(piece.sum(dtype=np.float64))
                low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        return cls(samples, total / samples, low, high) if samples else cls(0, 0.0, 0.0, 0.0)

    @property
    def offset(self) -> float:
        """What is constant in it, where that is a fault."""
        return self.mean if abs(self.mean) > DC_OFFSET else 0.0

    @property
    def peak(self) -> float:
        """The largest magnitude beside the offset."""
        return max(self.high - self.offset, self.offset - self.low)

    def mended(self, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The pieces without the offset, all scaled down if the peak is beyond full scale.

        Levels are otherwise left as they were recorded. Scaling the whole recording, unlike
        clipping, adds no distortion; a faultless recording comes back as it is.
        """
        scale = np.float32(0.999 / self.peak if self.peak > 0.999 else 1.0)
        for piece in pieces:
            yield (piece - np.float32(self.offset)) * scale
