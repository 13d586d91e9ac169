"""Discriminators and the losses of an adversarial phase."""

from __future__ import annotations

import pytest
import torch

from speechlm.training.discriminators import (
    Discriminators,
    discriminator_loss,
    feature_loss,
    generator_loss,
)

WINDOWS = (64, 256)


@pytest.fixture(scope="module")
def discriminators() -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(WINDOWS, channels=4)


def speech(seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(2, 2000, generator=torch.Generator().manual_seed(seed))


def maps(*scores: float) -> list[list[torch.Tensor]]:
    """One discriminator whose one layer and score map are constants."""
    return [[torch.full((1, 2, 3, 4), 2.0), torch.tensor(scores).view(1, 1, 1, -1)]]


def test_hinge_losses_by_hand():
    assert discriminator_loss(maps(1.5, 0.5), maps(-2.0, 1.0)).item() == 0.25 + 1.0
    assert discriminator_loss(maps(1.0), maps(-1.0)).item() == 0.0
    assert generator_loss(maps(-2.0, 1.0)).item() == 0.5
    both = discriminator_loss(maps(0.0) + maps(1.0), maps(-1.0) + maps(-1.0))
    assert both.item() == 0.5


def test_features_are_matched_relative_to_the_real_ones():
    real, fake = maps(0.0), maps(5.0)
    assert feature_loss(real, fake).item() == 0.0  # scores are no features
    fake[0][0] = torch.full((1, 2, 3, 4), 3.0)
    assert feature_loss(real, fake).item() == 0.5
    doubled = [[2 * x for x in real[0]]], [[2 * x for x in fake[0]]]
    assert feature_loss(*doubled).item() == 0.5


def test_every_resolution_gives_its_maps(discriminators):
    found = discriminators(speech(0))
    assert len(found) == len(WINDOWS)
    for window, features in zip(WINDOWS, found, strict=True):
        frames = 2000 // (window // 4) + 1
        assert all(x.shape[0] == 2 and x.shape[2] == frames for x in features)
        assert features[-1].shape[1] == 1


@torch.no_grad()
def test_loudness_is_no_clue(discriminators):
    quiet, loud = discriminators(speech(0)), discriminators(3 * speech(0))
    for x, y in zip(quiet, loud, strict=True):
        torch.testing.assert_close(x[-1], y[-1], atol=1e-4, rtol=1e-4)


def test_matching_draws_the_estimate_and_not_the_speech(discriminators):
    target, estimate = speech(0).requires_grad_(), speech(1).requires_grad_()
    feature_loss(discriminators(target), discriminators(estimate)).backward()
    assert target.grad is None or not target.grad.any()
    assert estimate.grad is not None
    assert estimate.grad.abs().max() > 0


def test_silence_has_a_finite_gradient(discriminators):
    estimate = torch.zeros(1, 2000, requires_grad=True)
    real, fake = discriminators(speech(0)[:1]), discriminators(estimate)
    (generator_loss(fake) + feature_loss(real, fake)).backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


def test_they_learn_to_tell_noise_from_a_tone():
    torch.manual_seed(0)
    judges = Discriminators((64,), channels=4)
    optimizer = torch.optim.Adam(judges.parameters(), 5e-3)
    tone = 0.1 * torch.sin(torch.arange(2000) * 0.2).repeat(2, 1)
    losses = []
    for step in range(25):
        loss = discriminator_loss(judges(tone + 0.1 * speech(step)), judges(speech(step)))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
