"""Feature matching: the distance of the feature maps of discriminators."""

from __future__ import annotations

import torch
from torch import Tensor

from speechlm.training.losses.adversarial import Features
from speechlm.utils import distributed


def feature_matching_loss(real: list[Features], fake: list[Features]) -> Tensor:
    """Mean absolute difference of each layer's maps, relative to their mean size in real speech.

    The division keeps a discriminator from gaining weight by growing its features (EnCodec,
    Défossez et al. 2022). The maps of scores, the last of each, do not count.
    """
    losses = [
        (a.detach() - b).abs().mean() / distributed.all_reduce_mean(a.abs().mean()).clamp_min(1e-5)
        for x, y in zip(real, fake, strict=True)
        for a, b in zip(x[:-1], y[:-1], strict=True)
    ]
    return torch.stack(losses).mean()
