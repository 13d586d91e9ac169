"""Discriminators, and the losses of an adversarial phase."""

from __future__ import annotations

import pytest
import torch

from speechlm.errors import SpeechLMError
from speechlm.training.discriminators import DiscriminatorConfig, Discriminators
from speechlm.training.losses.adversarial import (
    ADVERSARIAL_LOSSES,
    discriminator_loss,
    generator_loss,
)
from speechlm.training.losses.feature_matching import feature_matching_loss

SAMPLES = 4000
CONFIGS = {
    "stft": DiscriminatorConfig(stft_windows=[64, 256], stft_channels=4),
    "banded": DiscriminatorConfig(stft_windows=[], banded_windows=[128, 256], banded_channels=4),
    "periods": DiscriminatorConfig(stft_windows=[], periods=[2, 3, 5], period_channels=4),
}
each_kind = pytest.mark.parametrize("kind", CONFIGS)


def build(kind: str) -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(CONFIGS[kind])


def noise(seed: int, batch: int = 2, samples: int = SAMPLES) -> torch.Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))


def voiced(seed: int, batch: int = 2) -> torch.Tensor:
    """Speech-like: harmonics of a gliding pitch under an envelope of syllables, in weak noise."""
    random = torch.Generator().manual_seed(seed)
    time = torch.arange(SAMPLES) / 16000
    start, glide = 100 + 100 * torch.rand(2, batch, 1, generator=random)
    phase = 2 * torch.pi * (start * time + (glide - 150) * time**2)
    wave = torch.stack([torch.sin(k * phase) / k for k in range(1, 20)]).sum(dim=0)
    syllables = 0.6 + 0.4 * torch.sin(2 * torch.pi * 5 * time + start)
    return 0.1 * wave * syllables + 0.05 * noise(seed, batch)


def maps(*scores: float) -> list[list[torch.Tensor]]:
    """One discriminator whose one layer and score map are constants."""
    return [[torch.full((1, 2, 3, 4), 2.0), torch.tensor(scores).view(1, 1, 1, -1)]]


def test_hinge_losses_by_hand() -> None:
    assert discriminator_loss(maps(1.5, 0.5), maps(-2.0, 1.0)).item() == 0.25 + 1.0
    assert discriminator_loss(maps(1.0), maps(-1.0)).item() == 0.0
    assert generator_loss(maps(-2.0, 1.0)).item() == 0.5
    both = discriminator_loss(maps(0.0) + maps(1.0), maps(-1.0) + maps(-1.0))
    assert both.item() == 0.5


def test_least_squares_losses_by_hand() -> None:
    loss = ADVERSARIAL_LOSSES["least-squares"]
    assert discriminator_loss(maps(1.0), maps(0.0), loss).item() == 0.0
    assert discriminator_loss(maps(3.0, 1.0), maps(-2.0, 0.0), loss).item() == 2.0 + 2.0
    assert generator_loss(maps(1.0), loss).item() == 0.0
    assert generator_loss(maps(-1.0, 1.0), loss).item() == 2.0


def test_features_are_matched_relative_to_the_real_ones() -> None:
    real, fake = maps(0.0), maps(5.0)
    assert feature_matching_loss(real, fake).item() == 0.0  # scores are no features
    fake[0][0] = torch.full((1, 2, 3, 4), 3.0)
    assert feature_matching_loss(real, fake).item() == 0.5
    doubled = [[2 * x for x in real[0]]], [[2 * x for x in fake[0]]]
    assert feature_matching_loss(*doubled).item() == 0.5


def test_shapes() -> None:
    """One score a frame and group of bins, or a group of samples and phase of the period."""
    for window, features in zip((64, 256), build("stft")(noise(0)), strict=True):
        frames = SAMPLES // (window // 4) + 1
        assert all(x.shape[0] == 2 and x.shape[2] == frames for x in features)
        assert features[-1].shape[1] == 1
    for window, features in zip((128, 256), build("banded")(noise(0)), strict=True):
        frames = SAMPLES // (window // 4) + 1
        assert len(features) == 5 * 3 + 1
        assert all(x.shape[0] == 2 and x.shape[2] == frames for x in features)
        # The first layers of the bands cover all bins, each once.
        assert sum(features[3 * band].shape[3] for band in range(5)) == window // 2 + 1
        assert features[-1].shape[1] == 1
    for period, features in zip((2, 3, 5), build("periods")(noise(0)), strict=True):
        assert all(x.shape[0] == 2 and x.shape[3] == period for x in features)
        assert features[-1].shape[1] == 1


def test_a_period_sees_samples_of_its_own_phase_only() -> None:
    network = build("periods").each[1]
    wave = noise(0)
    other = wave.clone()
    other[:, 1::3] = noise(1)[:, 1::3]
    with torch.no_grad():
        same = [(network(wave)[-1] == network(other)[-1])[..., phase].all() for phase in range(3)]
    assert same == [True, False, True]


def test_a_band_sees_its_own_bins_only() -> None:
    """A tone at 5.2 kHz moves the maps of its band; leakage of the window into others is small."""
    network = build("banded").each[1]
    wave = noise(0)
    time = torch.arange(SAMPLES) / 16000
    with torch.no_grad():
        before = network(wave)
        after = network(wave + torch.sin(2 * torch.pi * 5200 * time))
    moved = [(after[3 * band] - before[3 * band]).abs().mean().item() for band in range(5)]
    assert moved[3] > 20 * max(moved[:3])


@each_kind
@torch.no_grad()
def test_the_level_is_no_clue(kind: str) -> None:
    discriminators = build(kind)
    for x, y in zip(discriminators(noise(0)), discriminators(3 * noise(0)), strict=True):
        torch.testing.assert_close(x[-1], y[-1], atol=1e-4, rtol=1e-4)


@each_kind
def test_feature_matching_moves_the_estimate_and_not_the_target(kind: str) -> None:
    discriminators = build(kind)
    target, estimate = noise(0).requires_grad_(), noise(1).requires_grad_()
    feature_matching_loss(discriminators(target), discriminators(estimate)).backward()
    assert target.grad is None or not target.grad.any()
    assert estimate.grad is not None
    assert estimate.grad.abs().max() > 0


@each_kind
@pytest.mark.parametrize("loss", ADVERSARIAL_LOSSES)
def test_every_weight_and_the_estimate_get_a_finite_gradient(kind: str, loss: str) -> None:
    discriminators, losses = build(kind), ADVERSARIAL_LOSSES[loss]
    real = discriminators(noise(0))
    for wave in (noise(1), torch.zeros(2, SAMPLES)):
        estimate = wave.requires_grad_()
        fake = discriminators(estimate)
        (generator_loss(fake, losses) + feature_matching_loss(real, fake)).backward(
            retain_graph=True
        )
        assert estimate.grad is not None
        assert torch.isfinite(estimate.grad).all()
    discriminators.zero_grad()
    discriminator_loss(real, discriminators(noise(1)), losses).backward()
    for name, weight in discriminators.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all()
        # The bias of the scores cancels where both losses are in their linear part.
        assert weight.grad.any() or "score" in name, name


@each_kind
@pytest.mark.parametrize("loss", ADVERSARIAL_LOSSES)
def test_they_learn_to_tell_noise_from_speech_like_signals(kind: str, loss: str) -> None:
    """On signals that they were not trained on."""
    discriminators, losses = build(kind), ADVERSARIAL_LOSSES[loss]
    optimizer = torch.optim.Adam(discriminators.parameters(), 3e-3)
    for step in range(40 if kind == "periods" else 15):
        optimizer.zero_grad()
        real, fake = discriminators(voiced(step)), discriminators(noise(step))
        discriminator_loss(real, fake, losses).backward()
        optimizer.step()
    with torch.no_grad():
        real, fake = discriminators(voiced(100, 8)), discriminators(noise(100, 8))
    for one, other in zip(real, fake, strict=True):
        assert one[-1].mean(dim=(1, 2, 3)).min() > other[-1].mean(dim=(1, 2, 3)).max()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (DiscriminatorConfig(stft_windows=[]), "no window and no period"),
        (DiscriminatorConfig(banded_windows=[64], bands=[0.5, 0.5]), r"bands: .* \[0\.5, 0\.5\]"),
        (DiscriminatorConfig(banded_windows=[64], bands=[0.5, 1.0]), "bands: "),
        (DiscriminatorConfig(banded_windows=[64], bands=[0.001]), "window of 64"),
    ],
)
def test_what_cannot_be_built_is_one_line(config: DiscriminatorConfig, says: str) -> None:
    with pytest.raises(SpeechLMError, match=says):
        Discriminators(config)
