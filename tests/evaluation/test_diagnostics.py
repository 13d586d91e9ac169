"""Diagnostics of the sound: known values on signals that are made to have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.evaluation.metrics import METRICS, named
from speechlm.evaluation.metrics.bands import BANDS, label

from .voices import RATE, noisy, voice


def noise(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def by_band(name: str, reference: np.ndarray, estimate: np.ndarray) -> list[float]:
    found = [METRICS[f"{name}_{label(band)}"](reference, estimate, RATE) for band in BANDS]
    assert not any(score.reason for score in found), [score.reason for score in found]
    return [score.value for score in found]


def test_a_group_is_all_its_bands():
    names = [metric.name for metric in named(["stoi", "coherence", "coherence_1_2"])]
    assert names == ["stoi", *(f"coherence_{label(band)}" for band in BANDS)]


@settings(max_examples=20, deadline=None)
@given(snr=st.floats(-10, 30), gain=st.floats(0.01, 100))
def test_coherence_is_that_of_the_mixture(snr, gain):
    """Of x and g (x + n), independent and white, it is 1 / sqrt(1 + N / S) in every band."""
    wave = noise()
    ratio = 10 ** (-snr / 10)
    mixture = gain * (wave + math.sqrt(ratio) * noise(seed=1))
    assert by_band("coherence", wave, mixture) == pytest.approx(
        [1 / math.sqrt(1 + ratio)] * len(BANDS), abs=0.05
    )


def test_coherence_is_lost_with_the_phases_of_one_band_alone():
    wave = noise()
    spectrum = np.fft.rfft(wave)
    high = np.fft.rfftfreq(len(wave), 1 / RATE) >= 2000
    turns = np.exp(2j * np.pi * np.random.default_rng(3).random(high.sum()))
    spectrum[high] *= turns
    values = by_band("coherence", wave, np.fft.irfft(spectrum, len(wave)))
    assert values[:2] == pytest.approx([1, 1]) and max(values[2:]) < 0.05


def test_a_band_that_the_rate_or_the_recording_does_not_have_is_no_zero():
    score = METRICS["coherence_4_8"](voice(), noisy(voice(), 10), 8000)
    assert math.isnan(score.value) and "not below half of 8000 Hz" in score.reason
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    assert "nothing in 1-2 kHz" in METRICS["coherence_1_2"](tone, 0 * tone, RATE).reason
