"""Metrics: right on cases with a known answer, NaN with a reason on the rest."""

from __future__ import annotations

import importlib.util
import math
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.evaluation import quality, scores
from speechlm.evaluation.metrics import (
    METRICS,
    distillmos,
    dnsmos,
    named,
    pitch,
    speaker,
    visqol,
)
from speechlm.evaluation.metrics.base import Metric, Score, Unavailable, Unscored
from speechlm.evaluation.metrics.base import require as required
from tests.tools import require

from .voices import RATE, noisy, voice


@pytest.mark.parametrize("name", ["pesq", "stoi", "estoi", "si_sdr", "mel", "lsd"])
def test_less_noise_scores_better(name):
    wave = voice()
    loud, soft = (METRICS[name](wave, noisy(wave, snr), RATE) for snr in (5, 25))
    assert not loud.reason and not soft.reason
    assert (soft.value > loud.value) == (METRICS[name].better == "higher")


@settings(max_examples=20, deadline=None)
@given(snr=st.floats(-10, 60), gain=st.floats(0.05, 1.0))
def test_si_sdr_is_the_ratio_that_was_mixed_whatever_the_gain(snr, gain):
    wave = voice()
    score = METRICS["si_sdr"](wave, gain * noisy(wave, snr), RATE)
    assert score.value == pytest.approx(snr, abs=0.3)


def test_identical_audio_is_at_the_ceiling_and_its_unbounded_ratio_is_not_a_number():
    wave = voice()
    found = scores(wave, wave, RATE)
    assert found["pesq"].value == pytest.approx(4.644, abs=0.01)
    assert found["stoi"].value == pytest.approx(1) and found["estoi"].value == pytest.approx(1)
    assert found["mel"].value == 0 and found["lsd"].value == 0
    assert math.isnan(found["si_sdr"].value) and "unbounded" in found["si_sdr"].reason


def test_a_doubled_spectrum_is_six_decibels_away():
    wave = voice()
    for name in ("mel", "lsd"):
        assert METRICS[name](wave, 2 * wave, RATE).value == pytest.approx(6.02, abs=0.6)


BAD = {
    "lengths differ": (voice(), voice()[:-1]),
    "no samples": (np.zeros(0, np.float32), np.zeros(0, np.float32)),
    "NaN": (voice(), np.full_like(voice(), np.nan)),
    "reference is silent": (np.zeros(RATE, np.float32), voice(1.0)),
    "not mono": (voice()[None], voice()[None]),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("reason", BAD)
def test_what_cannot_be_scored_is_nan_with_its_reason(name, reason):
    score = METRICS[name](*BAD[reason], RATE)
    if reason == "lengths differ" and not METRICS[name].timed:
        assert "lengths" not in score.reason
        return
    assert math.isnan(score.value)
    assert reason in score.reason


def test_those_that_compare_no_moments_are_known():
    untimed = {name for name, metric in METRICS.items() if not metric.timed}
    assert untimed == {"speaker", "dnsmos", "dnsmos_signal", "dnsmos_noise", "distillmos"}


@pytest.mark.parametrize("name", ["pesq", "stoi", "estoi"])
def test_too_little_speech_gives_no_default(name):
    wave = voice(0.1)
    score = METRICS[name](wave, noisy(wave, 20), RATE)
    assert math.isnan(score.value) and score.reason


def test_a_silent_estimate_is_not_an_error_of_the_harness():
    wave = voice()
    for name, score in scores(wave, np.zeros_like(wave), RATE).items():
        assert score.reason or name in ("mel", "lsd", "stoi", "estoi")
        assert math.isnan(score.value) == bool(score.reason)


def test_rates_other_than_pesqs_own_are_resampled():
    wave = np.repeat(voice(), 3)  # a stand-in at 48 kHz
    assert METRICS["pesq"](wave, wave, 48000).value == pytest.approx(4.644, abs=0.01)


def test_a_judge_that_raises_costs_its_own_cell():
    def crash(reference, estimate, rate):
        raise RuntimeError("boom")

    def refuse(reference, estimate, rate):
        raise Unscored("not speech")

    def absent(reference, estimate, rate):
        required("no_such_module_at_all", "the-package")

    made = [Metric("m", "M", "higher", "a test", each) for each in (crash, refuse, absent)]
    first, second, third = (metric(voice(), voice(), RATE) for metric in made)
    assert first.reason == "RuntimeError: boom" and first.lasting
    assert second.reason == "not speech" and second.lasting
    assert "the-package" in third.reason and "speechlm[eval]" in third.reason
    assert not third.lasting


def test_a_score_is_finite_or_has_a_reason():
    for arguments in ((math.nan,), (math.inf,), (1.0, "a reason")):
        with pytest.raises(ValueError, match="finite or has a reason"):
            Score(*arguments)


def test_require_names_what_to_install():
    with pytest.raises(Unavailable, match=r"pip install 'speechlm\[asr\]'"):
        required("no_such_module_at_all", "faster-whisper", "'speechlm[asr]'")


def test_quality_is_plain_numbers_and_unknown_names_are_refused():
    wave = voice()
    found = quality(wave, noisy(wave, 20), RATE, ["stoi", "mel"])
    assert list(found) == ["stoi", "mel"] and all(isinstance(v, float) for v in found.values())
    with pytest.raises(SpeechLMError, match="'pesk' is unknown: choose from pesq"):
        named(["pesk"])


def heavy(module: str, package: str) -> None:
    require(importlib.util.find_spec(module) is not None, f"{package} (make eval)")


@pytest.fixture(scope="module")
def speech(sample) -> np.ndarray:
    wave, _ = soundfile.read(sample, dtype="float32")
    return wave[: 3 * RATE]


JUDGES = [
    ("visqol", "visqol", "visqol-python[lattice]"),
    ("speaker", "resemblyzer", "resemblyzer"),
    ("f0", "parselmouth", "praat-parselmouth"),
    ("voicing", "parselmouth", "praat-parselmouth"),
    ("dnsmos", "speechmos", "speechmos"),
    ("dnsmos_noise", "speechmos", "speechmos"),
    ("distillmos", "distillmos", "distillmos"),
]


@pytest.mark.parametrize(("name", "module", "package"), JUDGES)
def test_judges_prefer_clean_speech(name, module, package, speech):
    heavy(module, package)
    clean, dirty = (METRICS[name](speech, noisy(speech, snr), RATE) for snr in (40, 5))
    assert (clean.reason, dirty.reason) == ("", "")
    assert (clean.value > dirty.value) == (METRICS[name].better == "higher")


def test_f0_error_is_in_cents():
    heavy("parselmouth", "praat-parselmouth")
    steady = 0.1 * np.sin(2 * np.pi * 150 * np.arange(RATE) / RATE)
    sharp = 0.1 * np.sin(2 * np.pi * 150 * 2 ** (1 / 12) * np.arange(RATE) / RATE)
    assert METRICS["f0"](steady, sharp, RATE).value == pytest.approx(100, abs=1)
    assert METRICS["f0"](steady, steady, RATE).value == 0
    assert "less than 0.1 s are voiced" in METRICS["f0"](steady, 0 * steady, RATE).reason


def test_two_voices_are_not_one(speech):
    heavy("resemblyzer", "resemblyzer")
    same = METRICS["speaker"](speech, noisy(speech, 40), RATE)
    other = METRICS["speaker"](speech, voice(3.0), RATE)
    assert same.value > 0.95
    assert np.isnan(other.value) or other.value < 0.8


def test_visqol_without_its_lattice_is_refused(monkeypatch, speech):
    heavy("visqol", "visqol-python[lattice]")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    visqol._judge.cache_clear()
    score = METRICS["visqol"](speech, speech, RATE)
    visqol._judge.cache_clear()
    assert math.isnan(score.value)
    assert "without it the numbers are others" in score.reason
    assert not score.lasting


@pytest.mark.parametrize(
    "name", ["pesq", "stoi", "visqol", "speaker", "f0", "dnsmos", "distillmos"]
)
def test_a_judge_that_is_not_installed_says_so(name, monkeypatch):
    metric = METRICS[name]
    names = {"speaker": "resemblyzer", "stoi": "pystoi", "f0": "parselmouth"}
    names["dnsmos"] = "speechmos.dnsmos"
    monkeypatch.setitem(sys.modules, names.get(name, name), None)
    for module in (pitch, speaker, dnsmos, distillmos, visqol):
        for cached in vars(module).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()
    score = metric(voice(), voice(), RATE)
    assert math.isnan(score.value)
    assert "pip install" in score.reason
    assert not score.lasting
