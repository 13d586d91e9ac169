"""Intervals: they cover what they claim to cover, and pairing makes them sharper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.evaluation.statistics import difference, known, mean, of_pairs, share


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(150):
        found = mean(random.exponential(2.0, size=60))
        covered += found.low <= 2.0 <= found.high
    assert 0.87 <= covered / 150 <= 0.99


def test_intervals_of_pairs_cover_it_too():
    """Of pairs taken for independent they would not: a pair shares each of its two with others."""
    random = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(150):
        hard = random.exponential(2.0, size=30)
        pairs = hard[:, None] + hard + random.normal(0, 1, size=(30, 30))
        found, alone = of_pairs(pairs), mean(pairs[np.triu_indices(30, 1)])
        assert found.mean == pytest.approx(alone.mean)
        covered += found.low <= 4.0 <= found.high
        naive += alone.low <= 4.0 <= alone.high
    assert 0.87 <= covered / 150 <= 0.99
    assert naive / 150 < 0.5


@pytest.mark.parametrize(("n", "known"), [(0, False), (1, False), (2, True)])
def test_few_have_no_interval_of_pairs(n, known):
    found = of_pairs(np.ones((n, n)))
    assert (math.isnan(found.mean), math.isnan(found.low)) == (not known, True)
    assert not math.isnan(of_pairs(np.ones((5, 5))).low)


def test_the_interval_is_the_usual_one_for_a_normal_sample():
    values = np.random.default_rng(1).normal(5, 2, size=400)
    found = mean(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.06)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_the_mean_lies_in_its_interval_and_the_interval_in_the_data(values):
    found = mean(values)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert min(values) - slack <= found.low <= found.high <= max(values) + slack
    assert mean(values) == found  # the same numbers give the same interval


def test_failures_are_left_out_and_counted():
    found = mean([1.0, math.nan, 3.0, math.nan])
    assert (found.mean, found.n, found.failed) == (2.0, 2, 2)


@pytest.mark.parametrize(
    ("values", "n"), [([], 0), ([math.nan], 0), ([2.0], 1), ([2.0, math.nan], 1)]
)
def test_too_few_clips_have_no_interval(values, n):
    found = mean(values)
    assert found.n == n
    assert math.isnan(found.low) and math.isnan(found.high)
    assert math.isnan(found.mean) == (n == 0)


def test_weights_make_a_ratio_of_sums():
    errors, words = np.array([0, 1, 4]), np.array([10, 2, 8])
    assert mean(errors / words, words).mean == pytest.approx(5 / 20)


def test_pairing_sees_a_difference_that_the_spread_of_clips_hides():
    random = np.random.default_rng(2)
    hard = random.normal(0, 3, size=50)
    better = hard + 0.2 + random.normal(0, 0.1, size=50)
    apart = mean(better), mean(hard)
    assert apart[0].low < apart[1].high  # side by side they overlap
    found = difference(better, hard)
    assert found.excludes_zero and found.mean == pytest.approx(np.mean(better - hard))
    assert not difference(hard, hard).excludes_zero


def test_a_difference_takes_only_clips_that_both_have():
    found = difference([1.0, 2.0, math.nan, 9.0], [0.0, 1.0, 5.0, math.nan])
    assert (found.mean, found.n, found.failed) == (1.0, 2, 2)


def test_paired_ratios_are_ratios_of_sums():
    words = np.array([10, 2, 8])
    found = difference(np.array([0, 1, 4]) / words, np.array([1, 1, 1]) / words, words, words)
    assert found.mean == pytest.approx((5 - 3) / 20)


@pytest.mark.parametrize(
    ("yes", "n", "low", "high"),
    # Wilson (1927); 8 of 10 as in Agresti and Coull (1998), 0 of 100 by z^2 / (n + z^2).
    [(8, 10, 49.016, 94.331), (0, 100, 0, 3.699), (100, 100, 96.301, 100), (1, 1, 20.65, 100)],
)
def test_a_share_has_wilsons_interval(yes, n, low, high):
    found = share([100.0] * yes + [0.0] * (n - yes) + [math.nan])
    assert (found.mean, found.n, found.failed) == (pytest.approx(100 * yes / n), n, 1)
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_a_share_over_speakers_covers_the_truth():
    """As many speakers as AN4 has, who differ; over clips it is missed three times in ten."""
    random = np.random.default_rng(0)
    speakers = np.repeat(np.arange(9), 12).tolist()
    covered = naive = 0
    for _ in range(200):
        rates = random.beta(2.8, 1.2, 9)
        values = 100.0 * (random.random((9, 12)) < rates[:, None]).ravel()
        found, plain = share(values, speakers), share(values)
        assert (found.mean, found.n, found.clusters) == (plain.mean, 108, 9)
        covered += found.low <= 70 <= found.high
        naive += plain.low <= 70 <= plain.high
    assert 0.87 <= covered / 200 <= 0.99
    assert naive / 200 < 0.8


def test_a_share_over_speakers_at_its_ends():
    """Where all clips agree, they tell no more than as many as there are speakers."""
    assert share([100.0] * 6, ["a", "a", "b", "b", "c", "c"]).low == share([100.0] * 3).low
    alone = share([100.0, 0.0, math.nan], ["a", "a", "a"])
    assert (alone.mean, alone.clusters, alone.failed) == (50.0, 1, 1) and math.isnan(alone.low)
    even = share([100.0, 0.0] * 3, ["a", "a", "b", "b", "c", "c"])
    assert even.low == share([100.0, 0.0] * 3).low  # no wider than of independent clips, no sharper
    assert (known(["a", "b"]), known(["a", None]), known([])) == (["a", "b"], None, None)


def test_a_share_is_of_yes_and_no():
    assert math.isnan(share([math.nan]).mean)
    with pytest.raises(ValueError, match="0 or 100"):
        share([1.0])


def spoken(random: np.random.Generator, speakers: int, clips: int) -> tuple[np.ndarray, list[str]]:
    """Values of ``clips`` by each speaker that speakers differ in more than their clips do."""
    own = random.normal(0, 1, size=(speakers, 1))
    values = own + random.normal(0, 0.3, size=(speakers, clips))
    return values.ravel(), [f"s{speaker}" for speaker in range(speakers) for _ in range(clips)]


def test_intervals_over_speakers_cover_the_truth_and_those_over_clips_do_not():
    random = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(150):
        values, speakers = spoken(random, 25, 10)
        clustered, plain = mean(values, clusters=speakers), mean(values)
        assert clustered.mean == plain.mean
        assert (clustered.n, clustered.clusters, plain.clusters) == (250, 25, None)
        covered += clustered.low <= 0 <= clustered.high
        naive += plain.low <= 0 <= plain.high
    assert 0.87 <= covered / 150 <= 0.99
    assert naive / 150 < 0.6


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_speakers_of_a_clip_each_are_clips(values):
    weights = np.arange(1, len(values) + 1)
    plain, clustered = mean(values, weights), mean(values, weights, range(len(values)))
    assert (plain.mean, plain.low, plain.high) == (clustered.mean, clustered.low, clustered.high)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(12)))
def test_clips_of_a_speaker_may_come_in_any_order(order):
    values, speakers = spoken(np.random.default_rng(0), 4, 3)
    first = mean(values, clusters=speakers)
    # Speakers are drawn by the order in which they first come, so one clip of each leads.
    lead = [0, 3, 6, 9]
    places = [*lead, *(place for place in order if place not in lead)]
    second = mean(values[places], clusters=[speakers[place] for place in places])
    assert (second.low, second.high) == pytest.approx((first.low, first.high))


def test_one_speaker_has_no_interval_and_failures_are_of_no_speaker():
    one = mean([1.0, 2.0, 3.0], clusters=["a", "a", "a"])
    assert (one.mean, one.n, one.clusters) == (2.0, 3, 1) and math.isnan(one.low)
    left = mean([1.0, 2.0, math.nan], clusters=["a", "b", "c"])
    assert (left.n, left.failed, left.clusters) == (2, 1, 2) and not math.isnan(left.low)
    none = mean([], clusters=[])
    assert (none.n, none.clusters) == (0, 0)
    with pytest.raises(ValueError, match="a cluster for each of 3 clips, got 1"):
        mean([1.0, 2.0, 3.0], clusters=["a"])


def test_a_paired_difference_is_over_speakers_too():
    values, speakers = spoken(np.random.default_rng(1), 12, 8)
    gains, _ = spoken(np.random.default_rng(2), 12, 8)
    plain = difference(values + gains, values)
    clustered = difference(values + gains, values, clusters=speakers)
    assert clustered.mean == plain.mean and clustered.clusters == 12
    assert clustered.high - clustered.low > 1.5 * (plain.high - plain.low)
