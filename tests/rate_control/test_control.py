"""Controllers on made-up costs and errors: the budget is met, and bits go where they matter."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm import rate_control
from speechlm.bitstream import Header, Writer
from speechlm.bitstream.level_counts import CountMeter, pack_counts

NUM_CODEBOOKS, FRAME_RATE = 12, 50.0


def made_up(frames: int, seed: int = 0, uneven: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Bits (codebooks, frames) about 10 each, or 10 exactly, and losses (codebooks + 1, frames)."""
    rng = np.random.default_rng(seed)
    bits = (
        rng.uniform(4, 12, (NUM_CODEBOOKS, frames))
        if uneven
        else np.full((NUM_CODEBOOKS, frames), 10.0)
    )
    steps = rng.uniform(0.6, 0.95, (NUM_CODEBOOKS, frames))
    loud = np.repeat(rng.uniform(0.01, 1, frames // 20 + 1), 20)[:frames]
    loss = loud * np.concatenate([np.full((1, frames), 2.0), np.cumprod(steps, axis=0)])
    return bits, loss


def budget(kbps: float, header: float = 0.0, chunk_frames: int = 100) -> rate_control.Budget:
    return rate_control.Budget(kbps * 20, FRAME_RATE, header, 72, NUM_CODEBOOKS, chunk_frames)


def spent(bits: np.ndarray, counts: np.ndarray, chunk_frames: int = 100) -> np.ndarray:
    """Bits of each frame: its codes, its number of levels, and its share of what is around."""
    meter, each = CountMeter(NUM_CODEBOOKS), []
    for frame, count in enumerate(counts.tolist()):
        meter = meter if frame % chunk_frames else CountMeter(NUM_CODEBOOKS)
        each.append(bits[:count, frame].sum() + meter.push(count) + 72 / chunk_frames)
    return np.array(each)


def blocks(control, bits, loss, size: int) -> np.ndarray:
    """Counts, chosen block by block."""
    starts = range(0, bits.shape[1], size)
    return np.concatenate(
        [control.choose(bits[:, i : i + size], loss[:, i : i + size]) for i in starts]
    )


@settings(deadline=None, max_examples=12)
@given(st.floats(0.9, 5.4), st.integers(0, 9), st.booleans(), st.sampled_from([1, 7, 500]))
def test_a_constant_rate_is_kept_in_every_two_seconds(kbps, seed, uneven, block):
    bits, loss = made_up(400, seed, uneven)
    reach = bits[0].mean(), bits.sum(axis=0).mean()
    kbps = float(np.clip(kbps, 1.4 * reach[0] / 20, 0.9 * reach[1] / 20))
    counts = blocks(rate_control.ConstantRate(budget(kbps), NUM_CODEBOOKS), bits, loss, block)
    assert counts.min() >= 1
    each = spent(bits, counts)
    assert each.mean() * 0.05 == pytest.approx(kbps, rel=0.02)
    windows = np.convolve(each, np.full(100, 1 / 100), "valid") * 0.05
    np.testing.assert_allclose(windows, kbps, rtol=0.1)


@settings(deadline=None, max_examples=10)
@given(st.floats(0.8, 5.0), st.integers(0, 9), st.sampled_from([1, 30, 500]))
def test_a_variable_rate_is_met_within_its_reservoir(kbps, seed, block):
    bits, loss = made_up(1000, seed)
    kbps = min(kbps, 0.8 * bits.sum(axis=0).mean() / 20)
    control = rate_control.VariableRate(budget(kbps), NUM_CODEBOOKS, FRAME_RATE)
    each = spent(bits, blocks(control, bits, loss, block))
    assert each.mean() * 0.05 == pytest.approx(kbps, rel=0.05)
    # From any moment to any other: what is earned, and a reservoir that was full and then is empty.
    beyond = np.cumsum(each - kbps * 20)
    rise = (beyond - np.minimum.accumulate(np.append(0, beyond[:-1]))).max()
    assert rise <= 2 * control.reservoir + each.max()


def test_a_variable_rate_loses_less_than_a_constant_one():
    bits, loss = made_up(1500)
    frames = np.arange(1500)
    losses = {}
    for control in (
        rate_control.ConstantRate(budget(2), NUM_CODEBOOKS),
        rate_control.VariableRate(budget(2), NUM_CODEBOOKS, FRAME_RATE),
    ):
        losses[type(control)] = loss[blocks(control, bits, loss, 50), frames].mean()
    assert losses[rate_control.VariableRate] < 0.9 * losses[rate_control.ConstantRate]


def test_quality_is_the_same_however_it_is_handed_in():
    bits, loss = made_up(300)
    prices = [rate_control.quality_price(quality) for quality in (2, 5, 8)]
    counts = [blocks(rate_control.FixedQuality(p, NUM_CODEBOOKS), bits, loss, 300) for p in prices]
    assert counts[0].mean() < counts[1].mean() < counts[2].mean()
    one = blocks(rate_control.FixedQuality(prices[1], NUM_CODEBOOKS), bits, loss, 1)
    assert one.tolist() == counts[1].tolist()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 6), st.floats(1e-3, 1), st.integers(0, 99))
def test_the_levels_kept_cost_least_of_all_ways(num_codebooks, frames, price, seed):
    rng = np.random.default_rng(seed)
    bits = rate_control.cumulative(rng.uniform(1, 12, (num_codebooks, frames)))
    loss = rng.uniform(0, 3, (num_codebooks + 1, frames))
    before = int(rng.integers(num_codebooks + 1))

    def total(counts: np.ndarray) -> float:
        moves = np.count_nonzero(np.diff(np.append(before, counts)))
        each = np.arange(frames)
        return loss[counts, each].sum() + price * (bits[counts, each].sum() + 3.5 * moves)

    kept = rate_control.viterbi_levels(loss, bits, price, before)
    best = (
        min(total(np.array(way)) for way in np.ndindex(*[num_codebooks + 1] * frames))
        if ((num_codebooks + 1) ** frames < 3000)
        else total(kept)
    )
    assert total(kept) == pytest.approx(best)


@settings(deadline=None, max_examples=10)
@given(st.integers(60, 3000), st.booleans(), st.integers(0, 9), st.integers(1, 200))
def test_a_size_is_met_to_the_byte(target, at_most, seed, frames):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1024, (NUM_CODEBOOKS, frames))
    header = Header("m", "0123abcd", 16000, 320, 10, NUM_CODEBOOKS, 100)

    def size(counts: np.ndarray) -> int:
        writer = Writer(io.BytesIO(), header)
        writer.write(rate_control.truncate(codes, counts))
        writer.finish(0)
        return writer.size

    loss = made_up(frames, seed)[1]
    counts = rate_control.fit_size(rate_control.fixed_cost(10)(codes), loss, size, target, at_most)
    least, most = size(np.zeros(frames, int)), size(np.full(frames, NUM_CODEBOOKS))
    if at_most and target >= least:
        assert size(counts) <= target
    assert least <= size(counts) <= most
    if least + 60 < target < most:
        assert abs(size(counts) - target) <= 0.03 * target + 20


def test_the_meter_tells_what_packing_gives():
    counts = np.random.default_rng(0).integers(0, 13, 400)
    meter = CountMeter(12)
    bits = sum(meter.push(int(count)) for count in counts)
    assert 0 <= 8 * len(pack_counts(counts, 12)) - bits < 20


def test_budgets_pay_for_what_was_written():
    account = budget(2, header=400)
    for _ in range(100):
        account.earn()
        account.spend(3, 30.0)
    account.settle(60, 60 * 40)
    account.settle(40, 40 * 40)
    # All that was earned, but for the fifth of the header that two seconds pay.
    assert account.ahead == pytest.approx(-80)


def test_loudness_is_weighed_to_the_loudest():
    rng = np.random.default_rng(0)
    wave = (rng.standard_normal(32000) * np.repeat([0.001, 0.1], 16000)).astype(np.float32)
    whole = rate_control.Loudness(320, 16000)
    whole.push(wave)
    energy = whole.take(101)
    assert energy[60:100] == pytest.approx(0.01, rel=0.5)
    assert energy[100] == 0.0  # after the end
    weights = rate_control.weights(energy)
    assert weights[10] == pytest.approx(1e-4**0.15, rel=0.2)
    assert weights[60:100] == pytest.approx(1.0, rel=0.2)
    assert rate_control.weights(energy * 100)[:100] == pytest.approx(
        weights[:100]
    )  # whatever the volume
    pieces = rate_control.Loudness(320, 16000)
    for i in range(0, 32000, 777):
        pieces.push(wave[i : i + 777])
    np.testing.assert_allclose(pieces.take(101), energy)
