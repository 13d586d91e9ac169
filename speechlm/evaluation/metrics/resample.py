"""Resampling for metrics that are defined at one rate."""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import resample_poly

from speechlm.types import Wave


def resample(wave: Wave, rate: int, target: int) -> Wave:
    """``wave`` (samples,) at ``rate`` Hz -> float32 (ceil(samples * target / rate),)."""
    if rate == target:
        return wave.astype(np.float32, copy=False)
    divisor = math.gcd(rate, target)
    return resample_poly(wave, target // divisor, rate // divisor).astype(np.float32)
