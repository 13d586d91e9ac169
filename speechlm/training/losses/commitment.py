"""Losses of a quantizer: commitment of the encoder, and codebook entries that learn by gradient."""

from __future__ import annotations

from torch import Tensor

from speechlm.quantize import Quantized
from speechlm.training.losses.terms import Schedule


def commitment_loss(quantized: Quantized) -> Tensor | None:
    """Mean squared distance of latents from what they are quantized to (van den Oord et al. 2017).

    Its gradient reaches the encoder alone. None where the quantizer has no such loss.
    """
    return quantized.losses.get("commitment")


def codebook_loss(quantized: Quantized) -> Tensor | None:
    """The same distance with a gradient to the codebook alone; zero where entries are averages."""
    return quantized.losses.get("codebook")


def commitment_schedule(weight: Schedule, warmup_weight: float, warmup_steps: int) -> Schedule:
    """A weight that is ``warmup_weight`` in the first ``warmup_steps`` steps.

    Args:
        weight: that of the steps after; where it changes with the step, there is no warm-up.
        warmup_weight: that of the warm-up.
        warmup_steps: its length.
    """
    if weight.initial != weight.final or not warmup_steps:
        return weight
    return Schedule(warmup_weight, weight.final, warmup_steps, warmup_steps)
