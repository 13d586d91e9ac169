"""Augmentation: a function of its draws, as strong as it says, in time with the input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from speechlm.config import to_dataclass
from speechlm.data.augment import AugmentConfig, add_noise, augment, limit_band, reverberate
from speechlm.data.batches.audio_crops import CorpusRecording, Crops
from speechlm.errors import SpeechLMError

RATE = 16000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def speech_like(samples: int = RATE, level: float = 0.1) -> np.ndarray:
    """White noise in bursts, with silence between them."""
    wave = rng(7).standard_normal(samples) * (np.arange(samples) // 2000 % 2)
    return (level * wave).astype(np.float32)


def power(wave: np.ndarray) -> float:
    return float(np.mean(np.square(wave, dtype=np.float64)))


def spectrum_db(wave: np.ndarray, low: float, high: float) -> float:
    """Power between two frequencies, in decibels."""
    bins = np.fft.rfftfreq(len(wave), 1 / RATE)
    inside = (bins >= low) & (bins < high)
    return 10 * np.log10(np.mean(np.abs(np.fft.rfft(wave * np.hanning(len(wave))))[inside] ** 2))


@given(
    seed=st.integers(0, 2**31),
    samples=st.integers(1, 3000),
    shares=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3),
    level=st.sampled_from([0.0, 1e-4, 0.1, 3.0]),
)
def test_any_draw_gives_a_crop(seed, samples, shares, level):
    wave = np.clip(speech_like(samples, level), -1, 1)
    config = AugmentConfig(reverb=shares[0], noise=shares[1], band=shares[2])
    before = wave.copy()
    made = augment(wave, RATE, config, rng(seed))
    np.testing.assert_array_equal(wave, before)
    assert made.dtype == np.float32
    assert made.shape == wave.shape
    assert np.isfinite(made).all()
    assert np.abs(made).max() <= 1.0
    np.testing.assert_array_equal(made, augment(wave, RATE, config, rng(seed)))
    if not any(shares) or not wave.any():
        np.testing.assert_array_equal(made, wave)


@pytest.mark.parametrize("name", ["reverb", "noise", "band"])
def test_each_comes_as_often_as_asked(name):
    wave = speech_like(4000)[1500:]
    config = replace(AugmentConfig(band_hz=(3400, 7000)), **{name: 0.3})
    changed = sum(bool((augment(wave, RATE, config, rng(k)) != wave).any()) for k in range(1500))
    # Five standard errors are .06.
    assert changed / 1500 == pytest.approx(0.3, abs=0.06)


@given(seed=st.integers(0, 2**31), snr_db=st.floats(0, 60))
def test_noise_is_as_loud_as_asked(seed, snr_db):
    wave = speech_like()
    noise = add_noise(wave, snr_db, rng(seed)) - wave
    assert 10 * np.log10(power(wave) / power(noise)) == pytest.approx(snr_db, abs=0.01)
    # Between the bursts too: it is steady.
    quiet, loud = power(noise.reshape(8, 2000)[::2]), power(noise.reshape(8, 2000)[1::2])
    assert 0.1 < quiet / loud < 10


def test_noise_is_of_all_colours():
    wave = speech_like()
    tilts = []
    for seed in range(60):
        noise = add_noise(wave, 20, rng(seed)) - wave
        tilts.append(spectrum_db(noise, 100, 200) - spectrum_db(noise, 6400, 7600))
    # From white to brown: six octaves at 0 to 6 dB an octave.
    assert -4 < min(tilts) < 5
    assert 28 < max(tilts) < 40


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6])
def test_a_room_falls_by_sixty_decibels_in_its_time(seconds):
    click = np.zeros(2 * RATE, dtype=np.float32)
    click[100] = 0.5
    falls, directs = [], []
    for seed in range(20):
        heard = reverberate(click, seconds, 6.0, RATE, rng(seed))
        np.testing.assert_allclose(heard[:100], 0, atol=1e-7)  # a transform's rounding
        tail = heard[101:]
        directs.append(10 * np.log10(heard[100] ** 2 / np.sum(tail**2)))
        # Schroeder's backward integral falls in a straight line: measured from -5 to -25 dB.
        decay = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2) + 1e-12)
        span = np.argmax(decay < -25) - np.argmax(decay < -5)
        falls.append(3 * span / RATE)
        assert power(heard) == pytest.approx(power(click), rel=1e-6)
    assert np.mean(falls) == pytest.approx(seconds, rel=0.1)
    assert np.mean(directs) == pytest.approx(6.0, abs=0.01)


def test_the_direct_sound_stays_in_time():
    wave = speech_like()
    for made in (reverberate(wave, 0.4, 3.0, RATE, rng()), limit_band(wave, 3500, RATE)):
        lags = range(-50, 51)
        match = [float(np.dot(np.roll(wave, lag), made)) for lag in lags]
        assert lags[int(np.argmax(match))] == 0


@pytest.mark.parametrize("upper", [3400.0, 5000.0, 7500.0])
def test_a_band_ends_where_asked(upper):
    wave = rng().standard_normal(4 * RATE).astype(np.float32)
    made = limit_band(wave, upper, RATE)
    inside = spectrum_db(made, 500, upper - 150) - spectrum_db(wave, 500, upper - 150)
    outside = spectrum_db(made, upper + 150, 8000) - spectrum_db(wave, upper + 150, 8000)
    assert inside == pytest.approx(0, abs=0.1)
    assert outside < -45
    below = spectrum_db(made, 20, 150) - spectrum_db(wave, 20, 150)
    assert below < -45 if upper < 4000 else below == pytest.approx(0, abs=0.1)


def test_a_band_beyond_the_sample_rate_changes_nothing():
    wave = speech_like()
    np.testing.assert_array_equal(limit_band(wave, 8000, RATE), wave)


def test_crops_stay_the_same_crops(tmp_path):
    path = tmp_path / "speech.wav"
    soundfile.write(path, speech_like(3 * RATE), RATE)
    items = [CorpusRecording(path, 3 * RATE, RATE)]
    plain = Crops(items, RATE, 4000, 6, seed=3)
    # So little noise that each crop can still be told.
    faint = replace(AugmentConfig(), noise=1.0, snr_db=(60.0, 60.0))
    noisy = Crops(items, RATE, 4000, 6, seed=3, augment=faint)
    for step in (0, 9):
        gap = noisy(step) - plain(step)
        assert gap.any(axis=1).all()
        np.testing.assert_allclose(gap, 0, atol=2e-3)
        np.testing.assert_array_equal(
            noisy(step), Crops(items, RATE, 4000, 6, 3, augment=faint)(step)
        )
        # Every crop of a batch has draws of its own.
        assert np.abs(np.corrcoef(gap) - np.eye(6)).max() < 0.9


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("noise=1.5", "augment.noise is a probability, not 1.5"),
        ("band=-.1", "augment.band is a probability"),
        ("reverb_seconds=[0,1]", "reverb_seconds lie above 0"),
        ("band_hz=[200,8000]", "band_hz above 300"),
    ],
)
def test_a_bad_setting_is_one_line(setting, message):
    with pytest.raises(SpeechLMError, match=message):
        to_dataclass(AugmentConfig, OmegaConf.from_dotlist([setting]), "recipe.yaml")
