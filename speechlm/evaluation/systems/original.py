"""The original itself: the ceiling of every metric, and the recogniser's floor."""

from __future__ import annotations

from speechlm.evaluation.systems.base import Encoded, System
from speechlm.types import Wave

WAV_HEADER_BYTES = 44


class Original(System):
    """16-bit PCM, untouched."""

    kbps = 0.0
    latency = 0.0
    about = "the clip itself, 16-bit PCM"

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def encode(self, wave: Wave) -> Encoded:
        return Encoded(wave, 16 * len(wave), 2 * len(wave) + WAV_HEADER_BYTES)

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        wave: Wave = encoded.payload
        return wave
