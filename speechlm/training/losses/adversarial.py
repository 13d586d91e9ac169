"""Adversarial losses of a discriminator and of the generator that it is trained against.

Both take the feature maps that discriminators return, of which the last is a map of scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Features = list[Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """A pair of losses, each from maps of scores to a scalar.

    Attributes:
        discriminator: of the scores of real and of synthesised speech.
        generator: of the scores of synthesised speech.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


ADVERSARIAL_LOSSES = {
    # Scores of real speech above one, those of synthesised speech below minus one (Lim & Ye 2017).
    "hinge": AdversarialLoss(
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
    ),
    # Scores of real speech at one, those of synthesised speech at zero (Mao et al. 2017).
    "least-squares": AdversarialLoss(
        lambda real, fake: (1 - real).square().mean() + fake.square().mean(),
        lambda fake: (1 - fake).square().mean(),
    ),
}


def discriminator_loss(
    real: list[Features], fake: list[Features], loss: AdversarialLoss = ADVERSARIAL_LOSSES["hinge"]
) -> Tensor:
    """The loss of the discriminators, a mean over them."""
    losses = [loss.discriminator(x[-1], y[-1]) for x, y in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def generator_loss(
    fake: list[Features], loss: AdversarialLoss = ADVERSARIAL_LOSSES["hinge"]
) -> Tensor:
    """The loss of the generator, a mean over the discriminators."""
    return torch.stack([loss.generator(features[-1]) for features in fake]).mean()
