"""Losses of waveforms, against torchaudio and their formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torchaudio
from torch import Tensor, nn

from speechlm.training.losses.coherence import CoherenceLoss
from speechlm.training.losses.spectral import CompressedComplexLoss, LogMagnitudeLoss, LogMelLoss
from speechlm.training.losses.wave_pair import WavePair
from speechlm.training.losses.waveform import BandWaveformLoss

close = torch.testing.assert_close
RATE = 16000

LOSSES: dict[str, Callable[[], nn.Module]] = {
    "mel": lambda: LogMelLoss(RATE),
    "linear": LogMagnitudeLoss,
    "complex": lambda: CompressedComplexLoss(RATE),
    "waveform": lambda: BandWaveformLoss(RATE),
    "coherence": lambda: CoherenceLoss(RATE),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def noise(seed: int = 0, samples: int = 4000) -> Tensor:
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))


def value(loss: nn.Module, estimate: Tensor, target: Tensor) -> float:
    return loss(WavePair(estimate, target)).item()


@each_loss
def test_is_zero_for_the_same_and_grows_with_noise(name: str) -> None:
    loss = LOSSES[name]()
    target = noise()
    values = [value(loss, target + level * noise(1), target) for level in (0, 0.01, 0.1, 1)]
    assert values[0] == pytest.approx(0, abs=2e-3)
    assert values == sorted(values)
    assert values[1] < values[3] / 2


@each_loss
def test_silence_has_a_finite_gradient(name: str) -> None:
    loss = LOSSES[name]()
    for target in (torch.zeros(2, 4000), noise()):
        estimate = torch.zeros(2, 4000, requires_grad=True)
        loss(WavePair(estimate, target)).backward()
        assert estimate.grad is not None
        assert torch.isfinite(estimate.grad).all()


@each_loss
def test_gradient_descent_lowers_it(name: str) -> None:
    loss, target = LOSSES[name](), noise()
    estimate = noise(1).requires_grad_()
    optimizer = torch.optim.Adam([estimate], 0.01)
    before = value(loss, estimate, target)
    for _ in range(8):
        optimizer.zero_grad()
        loss(WavePair(estimate, target)).backward()
        optimizer.step()
    assert value(loss, estimate, target) < 0.95 * before


def test_mel_is_the_distance_of_log_magnitudes() -> None:
    x, y = noise(0), noise(1)
    window, mels, floor = 512, 48, 1e-3
    # Power per bin of unit-variance noise is one there, and the window's energy here.
    energy = torch.hann_window(window).square().sum()
    bank = torchaudio.transforms.MelSpectrogram(
        RATE, window, hop_length=window // 4, n_mels=mels, mel_scale="slaney"
    )
    logs = [torch.log((bank(wave) / energy + floor**2).sqrt()) for wave in (x, y)]
    expected = float((logs[0] - logs[1]).abs().mean())
    loss = LogMelLoss(RATE, (window,), (mels,), floor)
    assert value(loss, y, x) == pytest.approx(expected, abs=1e-5, rel=1e-4)


def _bins(wave: Tensor, window: int) -> Tensor:
    hann = torch.hann_window(window)
    bins = torch.stft(wave, window, window // 4, window=hann, return_complex=True)
    return bins / hann.square().sum().sqrt()


def test_linear_is_the_distance_of_log_magnitudes_by_bin() -> None:
    x, y = noise(0), noise(1)
    window, floor = 512, 1e-3
    logs = [(_bins(w, window).abs().square() + floor**2).sqrt().log() for w in (x, y)]
    expected = float((logs[0] - logs[1]).abs().mean())
    loss = LogMagnitudeLoss((window,), floor)
    assert value(loss, y, x) == pytest.approx(expected, abs=1e-5, rel=1e-4)


def test_complex_is_the_distance_of_compressed_spectra() -> None:
    x, y = noise(0), noise(1)
    window, exponent = 256, 0.3
    compressed = []
    for wave in (x, y):
        bins = _bins(wave, window)
        compressed.append(bins * bins.abs() ** (exponent - 1))
    gap = compressed[0] - compressed[1]
    expected = float((gap.real.abs() + gap.imag.abs()).mean())
    loss = CompressedComplexLoss(RATE, (window,), exponent)
    assert value(loss, y, x) == pytest.approx(expected, abs=1e-5, rel=1e-4)


def test_complex_counts_what_it_is_focused_on() -> None:
    time = torch.arange(16000) / RATE
    target = 0.1 * sum(torch.sin(2 * torch.pi * f * time)[None] for f in (500, 6000))
    plain = CompressedComplexLoss(RATE)
    focused = CompressedComplexLoss(RATE, focus_hz=(1000.0, 2000.0))
    for window in plain.windows:
        assert getattr(focused, f"weight{window}").mean() == pytest.approx(1, rel=1e-5)
    low, high = (
        target + 0.1 * (torch.cos(2 * torch.pi * f * time) - torch.sin(2 * torch.pi * f * time))
        for f in (500, 6000)
    )
    # A high frequency has a tenth of the weight of a low one; and windows leak.
    plain_ratio = value(plain, low, target) / value(plain, high, target)
    assert value(focused, low, target) / value(focused, high, target) > 3 * plain_ratio


def test_losses_of_a_pair_at_a_level_do_not_depend_on_its_gain() -> None:
    x, y = noise(0), noise(1)
    loss = LogMelLoss(RATE)
    at_level = [float(loss(WavePair(g * y, g * x).at_level(0.1))) for g in (1.0, 1e-2)]
    assert at_level[0] == pytest.approx(at_level[1], rel=1e-4)
    assert float(loss(WavePair(1e-4 * y, 1e-4 * x))) < 0.7 * at_level[0]  # below the floor


def test_the_first_examples_of_a_pair_are_a_pair() -> None:
    x, y = torch.randn(2, 4, 800)
    pair = WavePair(y, x)
    assert pair.first(None) is pair
    assert pair.first(3) is pair.first(3)
    assert torch.equal(pair.first(3).estimate, y[:3])
    assert torch.equal(pair.first(3).target, x[:3])


def test_a_line_in_the_place_of_noise_costs() -> None:
    """Mel bands do not tell the two apart, a linear spectrum does."""
    time = torch.arange(16000) / RATE
    random = torch.Generator().manual_seed(0)
    target, other = (0.05 * torch.randn(1, 16000, generator=random) for _ in range(2))
    lines = torch.stack([torch.sin(2 * torch.pi * f * time + f**2) for f in range(125, 8000, 250)])
    lines = lines.sum(dim=0)[None]
    lines = lines * target.std() / lines.std()
    linear, mel = LogMagnitudeLoss((512, 1024, 2048)), LogMelLoss(RATE, (256,), (24,))
    assert value(linear, lines, target) > 1.7 * value(linear, other, target)
    assert value(mel, lines, target) < 1.5 * value(mel, other, target)


def test_no_mel_band_is_empty() -> None:
    loss = LogMelLoss(RATE)
    for window in loss.windows:
        assert (getattr(loss, f"bank{window}").sum(dim=0) > 0).all()


def test_drawn_windows_are_right_on_average() -> None:
    windows, mels = (64, 256, 1024), (6, 24, 96)
    x, y = noise(0), noise(1)
    single = [value(LogMelLoss(RATE, (w,), (m,)), y, x) for w, m in zip(windows, mels, strict=True)]
    means = [sum(pair) / 2 for pair in itertools.combinations(single, 2)]
    loss = LogMelLoss(RATE, windows, mels)
    torch.manual_seed(0)
    drawn = [float(loss(WavePair(y, x, resolutions=2))) for _ in range(40)]
    for one in drawn:
        assert min(abs(one - mean) for mean in means) < 1e-5
    assert len({round(one, 4) for one in drawn}) == 3
    assert sum(means) / 3 == pytest.approx(value(loss, y, x), abs=1e-6)


def test_spectra_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many losses read them."""
    calls = []
    real = torch.stft
    monkeypatch.setattr(torch, "stft", lambda *a, **k: calls.append(a[1]) or real(*a, **k))
    pair = WavePair(noise(0), noise(1))
    for name in ("mel", "linear", "complex", "coherence"):
        LOSSES[name]()(pair)
    assert sorted(calls) == sorted(2 * [64, 128, 256, 512, 1024, 2048])


def tone(hertz: float, phase: float = 0.0) -> Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz * torch.arange(RATE) / RATE + phase)[None]


@pytest.mark.parametrize(("hertz", "inside"), [(100, False), (1000, True), (5000, False)])
def test_the_waveform_counts_in_its_band_only(hertz: float, inside: bool) -> None:
    loss, target = BandWaveformLoss(RATE), tone(700)
    assert (value(loss, target + 0.5 * tone(hertz), target) > 0.5) == inside


def test_the_waveform_loss_does_not_depend_on_the_level() -> None:
    loss = BandWaveformLoss(RATE)
    x, y = noise(0), noise(1)
    assert value(loss, y, x) == pytest.approx(value(loss, 0.3 * y, 0.3 * x), rel=1e-3)


def test_coherence_is_the_cosine_of_the_phase_difference() -> None:
    """In the band of the tone; it does not depend on magnitudes."""
    loss = CoherenceLoss(RATE, edges=(0.0, 1000.0))
    for phase in (0.0, torch.pi / 3, torch.pi / 2, torch.pi):
        expected = 1 - float(torch.cos(torch.tensor(phase)))
        for gain in (1.0, 0.3):
            assert value(loss, gain * tone(500, phase), tone(500)) == pytest.approx(
                expected, abs=0.02
            )
