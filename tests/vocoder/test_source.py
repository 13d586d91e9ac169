"""Pitch and what is sung at it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm.vocoder.pitch import HIGHEST, LOWEST, track
from speechlm.vocoder.source import HarmonicSource

RATE, HOP = 16000, 160


@given(st.floats(LOWEST * 1.1, HIGHEST * 0.9), st.integers(0, 100))
def test_pitch_of_pulses(pitch: float, seed: int) -> None:
    generator = torch.manual_seed(seed)
    source = HarmonicSource(HOP, RATE)
    wave = source(torch.full((1, 1, 60), pitch))[:, 0]
    wave = 0.1 * wave + 0.003 * torch.randn(wave.shape, generator=generator)
    found = track(wave, HOP, RATE)[0, 10:-10]
    assert (found - pitch).abs().max() < 0.02 * pitch


def test_no_pitch() -> None:
    noise = torch.randn(1, RATE, generator=torch.manual_seed(0))
    assert (track(0.1 * noise, HOP, RATE) > 0).float().mean() < 0.02
    assert not track(torch.zeros(1, RATE), HOP, RATE).any()
    assert track(torch.zeros(2, 50), HOP, RATE).shape == (2, 0)


def test_pulses_have_all_harmonics_and_unit_power() -> None:
    wave = HarmonicSource(HOP, RATE)(torch.full((1, 1, 100), 200.0))[0]
    pulses, noise = wave[:, HOP:].numpy()
    assert np.square(pulses).mean() == pytest.approx(1, rel=0.05)
    assert np.square(noise).mean() == pytest.approx(1, rel=0.05)
    spectrum = np.abs(np.fft.rfft(pulses[: RATE // 2 * 1]))
    peaks = spectrum[100:4000:100]  # bins are 2 Hz
    assert peaks.min() > 20 * np.median(spectrum)
    assert peaks.max() < 1.2 * peaks.min()


@given(st.lists(st.sampled_from([0.0, 90.0, 140.0, 300.0]), min_size=1, max_size=12), st.data())
def test_streamed_is_offline(pitch: list[float], data: st.DataObject) -> None:
    source = HarmonicSource(HOP, RATE)
    x = torch.tensor(pitch)[None, None]
    whole = source(x)
    cut = data.draw(st.integers(0, len(pitch)))
    state, parts = source.initial_state(x), []
    for piece in x.split([cut, len(pitch) - cut], dim=2):
        y, state = source.step(piece, state)
        parts.append(y)
    assert torch.allclose(torch.cat(parts, dim=2), whole, atol=1e-5)
    for frame, sung in enumerate(pitch):
        if not sung and (frame == 0 or not pitch[frame - 1]):
            assert not whole[0, 0, frame * HOP : (frame + 1) * HOP].any()
