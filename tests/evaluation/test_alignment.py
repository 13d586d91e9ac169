"""Delay: found to the sample where there is a waveform to match, and never invented."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.evaluation import quality
from speechlm.evaluation.alignment import align, estimate_delay

from .voices import RATE, noisy, voice


def late(wave: np.ndarray, delay: int) -> np.ndarray:
    return np.concatenate([np.zeros(max(delay, 0), np.float32), wave])[max(-delay, 0) :]


@settings(max_examples=30, deadline=None)
@given(delay=st.integers(-3000, 3900), snr=st.floats(3, 40), pitch=st.floats(80, 300))
def test_a_delay_is_found_to_the_sample(delay, snr, pitch):
    wave = voice(2.0, pitch)
    assert estimate_delay(wave, noisy(late(wave, delay), snr), RATE) == delay


def test_without_phase_to_match_no_delay_is_invented():
    wave = voice(2.0)
    spectrum = np.fft.rfft(wave.reshape(-1, 320), axis=1)
    phases = np.exp(2j * np.pi * np.random.default_rng(0).uniform(size=spectrum.shape))
    vocoded = np.fft.irfft(np.abs(spectrum) * phases, axis=1).ravel().astype(np.float32)
    assert estimate_delay(wave, vocoded, RATE) == 0


def test_silence_and_nothing_have_no_delay():
    wave = voice()
    assert estimate_delay(wave, np.zeros_like(wave), RATE) == 0
    assert estimate_delay(wave, wave[:0], RATE) == 0


@settings(max_examples=30, deadline=None)
@given(delay=st.integers(-500, 500), extra=st.integers(-500, 500))
def test_aligned_waves_are_of_one_length_and_say_what_was_cut(delay, extra):
    wave = voice()
    moved = late(wave, delay)
    estimate = np.pad(moved, (0, extra)) if extra >= 0 else moved[:extra]
    pair = align(wave, estimate, RATE)
    assert len(pair.reference) == len(pair.estimate) > 0
    assert ("not scored" in pair.note) == (len(pair.reference) < len(wave))
    assert ("output is" in pair.note) == (len(estimate) != len(wave))


def test_latency_is_not_scored_as_damage():
    wave = voice()
    estimate = noisy(wave, 20)
    here, there = (quality(wave, late(estimate, delay), RATE) for delay in (0, 700))
    assert abs(here["pesq"] - there["pesq"]) < 0.1
    assert abs(here["si_sdr"] - there["si_sdr"]) < 0.5
