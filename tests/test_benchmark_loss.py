"""Losing packets: patterns, Opus by its library, and a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm import audio
from speechlm.benchmarks import loss
from speechlm.benchmarks.loss import PATTERNS, LossPattern
from speechlm.benchmarks.opus import FRAME, OpusCodec
from speechlm.errors import SpeechLMError
from tests.tools import require


@given(st.sampled_from(PATTERNS), st.integers(0, 99))
def test_patterns_lose_their_share(pattern, seed):
    lost = pattern.lost(20000, seed)
    assert lost.mean() == pytest.approx(pattern.share, abs=0.02)
    assert lost.tolist() == pattern.lost(20000, seed).tolist()
    runs = np.diff(np.flatnonzero(np.diff(np.append(False, lost).astype(int)) != 0))[::2]
    assert not len(runs) or runs.min() >= pattern.burst
    assert LossPattern(0.1, 3).name == "10 % in bursts of 60 ms"


@pytest.fixture
def opus() -> OpusCodec:
    try:
        return OpusCodec(6.0)
    except SpeechLMError as absent:
        require(False, str(absent))
        raise


def test_opus_packets_have_the_rate_and_decode_in_place(opus, sample: Path):
    wave, _ = audio.read(sample, 16000)
    packets, delay = opus.encode(wave)
    assert {len(packet) for packet in packets} == {15}  # 6 kbps
    heard = opus.decode(packets, delay)
    assert len(wave) <= len(heard) < len(wave) + FRAME
    lags = range(-40, 41)
    middle = slice(16000, 48000)
    products = [float(wave[middle] @ np.roll(heard, lag)[middle]) for lag in lags]
    assert abs(lags[int(np.argmax(products))]) <= 4


def test_opus_conceals_what_is_lost(opus, sample: Path):
    wave, _ = audio.read(sample, 16000)
    packets, delay = opus.encode(wave)
    loud = int(np.square(wave).argmax()) // FRAME
    lost = [None if i == loud else packet for i, packet in enumerate(packets)]
    whole, heard = opus.decode(packets, delay), opus.decode(lost, delay)
    assert heard.shape == whole.shape
    before = loud * FRAME - delay
    np.testing.assert_array_equal(heard[:before], whole[:before])
    gap = slice(before, before + FRAME)
    assert np.square(heard[gap]).mean() > 0.05 * np.square(whole[gap]).mean()


def test_a_row_has_intervals_over_speakers():
    rows = [(2.0, 0.8, 0.1), (2.1, 0.8, 0.2), (3.0, 0.9, 0.5), (3.1, 0.9, 0.4)]
    words = [4, 4, 2, 2]
    over_clips = loss._intervals(rows, words, None)
    found = loss._intervals(rows, words, ["a", "a", "b", "b"])
    assert [interval.clusters for interval in found] == [2, 2, 2]
    # Speakers differ, their clips hardly: of two, one or the other is drawn twice.
    assert (found[0].low, found[0].high) == pytest.approx((2.05, 3.05))
    assert over_clips[0].clusters is None
    assert found[2].mean == pytest.approx(100 * (0.3 * 4 + 0.9 * 2) / 12)
    row = loss.PacketLossRow("a", "0 %", *found)
    assert loss.PacketLossReport(6.0, [], [row]).table().title == "4 clips of 2 speakers"
