"""The spectral loss, against torchaudio and its formula."""

from __future__ import annotations

import itertools

import pytest
import torch
import torchaudio

from speechlm.training.losses.spectral import SpectralLoss

close = torch.testing.assert_close
RATE = 16000


def speech(seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(seed))


def test_nothing_differs_from_itself():
    terms = SpectralLoss(RATE)(speech(), speech())
    assert {name: value.item() for name, value in terms.items()} == {
        "mel": 0.0,
        "linear": 0.0,
        "complex": 0.0,
    }


def test_mel_is_the_distance_of_log_magnitudes():
    x, y = speech(0), speech(1)
    window, mels, floor = 512, 48, 1e-3
    loss = SpectralLoss(RATE, (window,), (mels,), (window,), floor=floor)(y, x)
    # Power per bin of unit-variance noise is one there, and the window's energy here.
    energy = torch.hann_window(window).square().sum()
    bank = torchaudio.transforms.MelSpectrogram(
        RATE, window, hop_length=window // 4, n_mels=mels, mel_scale="slaney"
    )
    logs = [torch.log((bank(wave) / energy + floor**2).sqrt()) for wave in (x, y)]
    close(loss["mel"], (logs[0] - logs[1]).abs().mean(), atol=1e-5, rtol=1e-4)


def test_linear_is_the_distance_of_each_bins_log_magnitude():
    x, y = speech(0), speech(1)
    window, floor = 512, 1e-3
    loss = SpectralLoss(RATE, linear_windows=(window,), floor=floor)(y, x)
    hann = torch.hann_window(window)
    logs = []
    for wave in (x, y):
        bins = torch.stft(wave, window, window // 4, window=hann, return_complex=True)
        logs.append((bins.abs().square() / hann.square().sum() + floor**2).sqrt().log())
    close(loss["linear"], (logs[0] - logs[1]).abs().mean(), atol=1e-5, rtol=1e-4)


def test_a_line_in_the_place_of_noise_costs():
    """To mel bands the two are alike, with a linear spectrum they are not."""
    time = torch.arange(16000) / RATE
    random = torch.Generator().manual_seed(0)
    noise, other = (0.05 * torch.randn(1, 16000, generator=random) for _ in range(2))
    lines = sum(torch.sin(2 * torch.pi * f * time + f**2) for f in range(125, 8000, 250))
    lines = lines[None] * noise.std() / lines.std()
    loss = SpectralLoss(RATE, (256,), (24,), (256,))
    rings, hisses = loss(lines, noise), loss(other, noise)
    assert rings["linear"] > 1.7 * hisses["linear"]
    assert rings["mel"] < 1.5 * hisses["mel"]


def test_no_mel_band_is_empty():
    loss = SpectralLoss(RATE)
    for window in loss.windows:
        assert (getattr(loss, f"bank{window}").sum(dim=0) > 0).all()


def test_complex_is_the_distance_of_compressed_spectra():
    x, y = speech(0), speech(1)
    window, exponent = 256, 0.3
    loss = SpectralLoss(RATE, (window,), (24,), (window,), exponent=exponent)(y, x)
    hann = torch.hann_window(window)
    squeezed = []
    for wave in (x, y):
        bins = torch.stft(wave, window, window // 4, window=hann, return_complex=True)
        bins = bins / hann.square().sum().sqrt()
        squeezed.append(bins * bins.abs() ** (exponent - 1))
    gap = squeezed[0] - squeezed[1]
    close(loss["complex"], (gap.real.abs() + gap.imag.abs()).mean(), atol=1e-5, rtol=1e-4)


def test_draws_are_right_on_average():
    loss = SpectralLoss(RATE, (64, 256, 1024), (6, 24, 96), (256, 1024))
    x, y = speech(0), speech(1)
    single = [
        SpectralLoss(RATE, (w,), (m,), (w,))(y, x)["mel"].item()
        for w, m in zip((64, 256, 1024), (6, 24, 96), strict=True)
    ]
    pairs = [sum(pair) / 2 for pair in itertools.combinations(single, 2)]
    torch.manual_seed(0)
    drawn = [loss(y, x, draws=2)["mel"].item() for _ in range(40)]
    for value in drawn:
        assert min(abs(value - pair) for pair in pairs) < 1e-5
    assert len({round(value, 4) for value in drawn}) == 3
    assert sum(pairs) / 3 == pytest.approx(loss(y, x)["mel"].item(), abs=1e-6)


def test_silence_has_a_finite_gradient():
    estimate = torch.zeros(1, 4000, requires_grad=True)
    for target in (torch.zeros(1, 4000), speech()[:1]):
        terms = SpectralLoss(RATE)(estimate, target)
        estimate.grad = None
        (terms["mel"] + terms["linear"] + terms["complex"]).backward()
        assert estimate.grad is not None
        assert torch.isfinite(estimate.grad).all()
