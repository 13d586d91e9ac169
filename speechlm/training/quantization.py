"""How latents are quantized in each step of codec training.

Evidence for the defaults: with the quantizer on early and every example cut to a random number of
codebooks, a codec gives up the phase above 1 kHz, which few codebooks cannot carry, and does not
learn it later; examples that are decoded unquantized to the end keep it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from speechlm.quantize import Quantized, Quantizer
from speechlm.training.losses.terms import Schedule, Weight
from speechlm.training.variable_rate import HIGHEST
from speechlm.utils import distributed
from speechlm.utils.distributed import Shard


@dataclass
class QuantizationConfig:
    """When and of which examples the latents are quantized, and by how many codebooks."""

    quantizer_bypass_steps: int = 300
    """First steps, in which no latent is quantized and the quantizer learns nothing."""
    latent_noise: Weight = 0.0
    """In these steps, the standard deviation of noise that is added to the latents, relative to
    theirs: it prepares them for the error of quantization (Ballé et al. 2017)."""
    unquantized_prob: float = 0.5
    """Fraction of the examples that are decoded from unquantized latents, to the end of training.
    The quantizer learns from them nevertheless."""
    all_codebooks_prob: float = 0.25
    """Fraction of the examples that keep all codebooks. The others keep a number that is drawn
    uniformly (quantizer dropout, Zeghidour et al. 2021)."""
    variable_rate_prob: float = 0.0
    """With ``decoder_only``: fraction of the examples in which each frame keeps as many codebooks
    as a variable rate assigns to it (:mod:`speechlm.training.variable_rate`)."""


class TrainingQuantization:
    """Draws and applies what a :class:`QuantizationConfig` says.

    Random draws are made for the examples of all processes and micro-batches, of which each takes
    its rows, so that a step does not depend on their number.
    """

    def __init__(self, config: QuantizationConfig, num_codebooks: int):
        self.config = config
        self.num_codebooks = num_codebooks
        self.latent_noise = Schedule.parse(config.latent_noise, "quantization.latent_noise")

    def draw_num_codebooks(self, rows: int, shard: Shard) -> Tensor:
        """How many codebooks each of ``rows`` examples keeps: int64 (rows,)."""
        count = rows * shard.count
        drawn = torch.randint(1, self.num_codebooks + 1, (count,))
        keeps_all = torch.rand(count) < self.config.all_codebooks_prob
        return torch.where(keeps_all, self.num_codebooks, drawn)[shard.rows(count)]

    def draw_qualities(self, rows: int, shard: Shard) -> Tensor:
        """A quality for each of ``rows`` examples with a variable rate; NaN for the others."""
        count = rows * shard.count
        is_variable = torch.rand(count) < self.config.variable_rate_prob
        qualities = torch.where(is_variable, HIGHEST * torch.rand(count), math.nan)
        return qualities[shard.rows(count)]

    def __call__(
        self, quantizer: Quantizer, z: Tensor, num_codebooks: Tensor, step: int
    ) -> Quantized:
        """Quantize the latents ``z`` (batch, dim, frames) for training.

        In the bypass the result has no codes and no losses.

        Args:
            quantizer: the codec's.
            z: latents.
            num_codebooks: (batch,) from :meth:`draw_num_codebooks`.
            step: the step of training.
        """
        if step < self.config.quantizer_bypass_steps:
            no_codes = torch.empty(len(z), 0, z.shape[2], dtype=torch.int64, device=z.device)
            return Quantized(self._noisy(z, step), no_codes)
        quantized = quantizer(z, num_codebooks)
        if self.config.unquantized_prob:
            draws = distributed.rand_like(z[:, :1, :1])
            is_unquantized = draws < self.config.unquantized_prob
            quantized.z = torch.where(is_unquantized, z, quantized.z)
        return quantized

    def _noisy(self, z: Tensor, step: int) -> Tensor:
        strength = self.latent_noise(step)
        if not strength:
            return z
        # Uniform, as the error of a scalar quantizer is; of unit variance.
        noise = (distributed.rand_like(z) - 0.5) * 12**0.5
        deviation = z.detach().square().mean(dim=(1, 2), keepdim=True).sqrt()
        return z + strength * deviation * noise
