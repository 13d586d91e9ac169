"""Correlations of metrics with listening scores, on scores that are made to have them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import stats

from speechlm.benchmarks import judges
from speechlm.benchmarks.judge_report import correlations, left_out, pearson, spearman
from speechlm.benchmarks.mushra import read_folder
from speechlm.errors import SpeechLMError
from tests.evaluation.voices import RATE, noisy, voice

SNRS = {"noisy": 5.0, "cleaner": 15.0, "clean": 30.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three signals in three conditions, which listeners rate by how little noise there is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = []
    for number in range(3):
        wave = voice(1.2, 110.0 + 40 * number, seed=number)
        place = tmp_path / "audio" / f"s{number}"
        place.mkdir(parents=True)
        soundfile.write(place / "ref.flac", wave, RATE)
        rows.append([f"s{number}", "Reference", "[100.0]", f"s{number}/ref.wav"])
        rows.append([f"s{number}", "Anchor", "[0.0]", ""])
        for name, snr in SNRS.items():
            soundfile.write(place / f"{name}.flac", noisy(wave, snr, seed=number), RATE)
            ratings = json.dumps([2 * snr, 3 * snr + number])
            rows.append([f"s{number}", name, ratings, f"s{number}/{name}.wav"])
    with (tmp_path / "ratings_formated_filtered.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["signal", "condition", "ratings", "file"])
        writer.writerows(rows)
    return tmp_path


def test_metrics_of_noise_agree_with_listeners_who_mind_noise(folder):
    report = judges.run(folder, ["mel", "si_sdr", "stoi", "level_4_8"])
    assert (report.signals, report.ratings) == (3, 18)
    assert list(report.conditions) == sorted(SNRS)
    for row in report.rows:
        if row.name in ("mel", "si_sdr", "level_4_8"):  # lower, higher, and nearer is better
            assert row.correlations["spearman_condition"].value == pytest.approx(1)
            assert row.correlations["spearman_clip"].value > 0.8
    assert {"combination_signals", "combination_conditions"} < {row.name for row in report.rows}
    assert report.markdown().count("\n") == 2 + len(report.rows) + 3 + len(SNRS)
    json.dumps(report.to_json(), allow_nan=False)


def test_scores_are_kept(folder, monkeypatch):
    first = judges.run(folder, ["mel"])
    monkeypatch.setattr(judges.audio, "read", lambda *_: pytest.fail("judged twice"))
    assert judges.run(folder, ["mel"]) == first


def test_correlations_are_scipys_and_leave_nan_out():
    random = np.random.default_rng(0)
    first = random.integers(0, 5, size=(3, 20)).astype(float)  # with ties
    second = first + random.normal(0, 1, size=(3, 20))
    for row in range(3):
        expected = stats.pearsonr(first[row], second[row]).statistic
        assert pearson(first, second)[row] == pytest.approx(expected)
        expected = stats.spearmanr(first[row], second[row]).statistic
        assert spearman(first, second)[row] == pytest.approx(expected)
    holed = first.copy(), second.copy()
    for values in holed:
        values[:, :5] = np.nan
    np.testing.assert_allclose(spearman(*holed), spearman(first[:, 5:], second[:, 5:]))


def test_intervals_are_over_signals():
    """What differs between signals alone is not made certain by many conditions."""
    signals = np.random.default_rng(0).normal(size=(6, 1))
    noise = np.random.default_rng(1).normal(size=(6, 1))
    narrow = correlations(np.tile(signals, 2), np.tile(signals + noise, 2))["pearson_clip"]
    wide = correlations(np.tile(signals, 50), np.tile(signals + noise, 50))["pearson_clip"]
    assert wide.high - wide.low == pytest.approx(narrow.high - narrow.low, rel=0.05)


def test_a_combination_is_judged_by_groups_that_it_has_not_seen():
    random = np.random.default_rng(0)
    features = random.normal(size=(8, 6, 3))
    truth = features @ [1.0, -2.0, 0.0]
    assert pearson(left_out(features, truth).reshape(1, -1), truth.reshape(1, -1))[0] > 0.99
    chance = random.normal(size=(8, 6))
    assert pearson(left_out(features, chance).reshape(1, -1), chance.reshape(1, -1))[0] < 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: None, "not a folder of listening scores"),
        (lambda text: "a,b\n1,2\n", "a line is not as expected"),
        (lambda text: text.replace("[10.0", "[x"), "a line is not as expected"),
        (lambda text: text.replace("s2,clean,", "s1,clean,"), "not every signal is rated once"),
        (lambda text: text.replace("s0/ref.wav", "s0/none.wav"), "no such file"),
    ],
)
def test_a_folder_that_is_none_is_refused_in_one_line(folder, change, reason):
    table = folder / "ratings_formated_filtered.csv"
    changed = change(table.read_text())
    table.unlink() if changed is None else table.write_text(changed)
    with pytest.raises(SpeechLMError, match=reason) as refused:
        judges.run(folder, ["mel"])
    assert "\n" not in str(refused.value)


def test_reference_and_anchor_are_no_codecs(folder):
    assert {stimulus.condition for stimulus in read_folder(folder)} == set(SNRS)
