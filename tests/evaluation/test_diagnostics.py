"""Diagnostics of the sound: known values on signals that are made to have them."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.evaluation.metrics import METRICS, named
from speechlm.evaluation.metrics.bands import BANDS, label
from tests.tools import require

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


def tone_complex(f0: float, seconds: float = 3.0) -> np.ndarray:
    """All harmonics of ``f0`` below half the rate, of equal strength and random phase."""
    time = np.arange(int(seconds * RATE)) / RATE
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, int(RATE / 2 / f0))
    return 0.01 * sum(
        np.sin(2 * np.pi * (k + 1) * f0 * time + phases[k]) for k in range(len(phases) - 1)
    )


@pytest.mark.parametrize("f0", [113.0, 187.3])
def test_a_voice_is_periodic_in_every_band_and_noise_in_none(f0):
    have_praat()
    wave = tone_complex(f0)
    assert min(by_band("periodicity", wave, wave)) > 0.98
    # The mean of as many products of independent noise; narrow bands vary more.
    assert max(map(abs, by_band("periodicity", wave, noise(3.0)))) < 0.1


def test_periodicity_of_a_mixture_is_its_share_of_power():
    have_praat()
    wave = tone_complex(150.0)
    added = noise(3.0)
    added *= np.sqrt(np.mean(wave**2) / np.mean(added**2))
    assert by_band("periodicity", wave, wave + added) == pytest.approx([0.5] * 4, abs=0.1)


def have_praat() -> None:
    require(importlib.util.find_spec("parselmouth") is not None, "praat-parselmouth (make eval)")


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.1, 3))
def test_level_and_pauses_are_in_decibels_of_the_originals_speech(gain):
    wave = noise()
    wave[RATE : 2 * RATE] *= 0.01
    decibels = 20 * math.log10(gain)
    assert by_band("level", wave, gain * wave) == pytest.approx([decibels] * 4, abs=1e-6)
    assert by_band("pauses", wave, gain * wave) == pytest.approx([decibels - 40] * 4, abs=0.5)


def test_speech_without_a_pause_has_no_level_of_pauses():
    assert "no pause" in METRICS["pauses_0_1"](noise(), noise(), RATE).reason


@pytest.mark.parametrize("depth", [0.1, 0.5])
def test_modulation_of_a_tone_is_that_of_its_envelope(depth):
    """The envelope 1 + m cos(w t) has m^2 / 2 of its squared mean at w."""
    time = np.arange(4 * RATE) / RATE
    envelope = 1 + depth * np.cos(2 * np.pi * 30 * time)
    wave = envelope * np.sin(2 * np.pi * 1500 * time)
    score = METRICS["modulation_1_2"](wave, wave, RATE)
    assert score.value == pytest.approx(10 * math.log10(depth**2 / 2), abs=0.1)


@pytest.mark.parametrize(("name", "rate"), [("frame_line_4_8", 50), ("frame_line_4_8@12.5", 12.5)])
def test_a_line_at_the_frame_rate_stands_out_and_one_beside_it_does_not(name, rate):
    (metric,) = named([name])
    time = np.arange(8 * RATE) / RATE
    plain, lined, beside = (
        metric(noise(8.0), noise(8.0) * (1 + 0.2 * np.cos(2 * np.pi * f * time)), RATE).value
        for f in (0, rate, 3 * rate)
    )
    assert abs(plain) < 2 and abs(beside) < 2 and lined > 6


@pytest.mark.parametrize(("name", "period"), [("repetition", 640), ("repetition@80", 1280)])
def test_repetition_is_of_the_window_alone(name, period):
    (metric,) = named([name])
    pattern = np.random.default_rng(0).standard_normal(period)
    repeated = np.tile(pattern, 40)
    assert metric(repeated, repeated, RATE).value > 0.95
    assert abs(metric(noise(), noise(), RATE).value) < 0.05
    other = np.tile(np.random.default_rng(0).standard_normal(period + 100), 40)
    assert abs(metric(other, other, RATE).value) < 0.2


def test_what_stands_for_several_or_for_another_rate_is_found_by_name():
    names = [metric.name for metric in named(["frame_line@75", "repetition@20"])]
    assert names == [*(f"frame_line_{label(band)}@75" for band in BANDS), "repetition@20"]
    assert [m.name for m in named(["frame_line@50"])] == [m.name for m in named(["frame_line"])]
    assert len(named(["diagnostics"])) == 6 * len(BANDS) + 1
    for name in ("frame_line@x", "frame_line@-1", "frame_line_1_3@75", "stoi@2", "repetition@inf"):
        with pytest.raises(SpeechLMError, match="is unknown"):
            named([name])
