"""What a decoder is given where the rate is variable: frames of different numbers of levels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlm import rate_control
from speechlm.codec.network import CodecNetwork
from speechlm.codec.neural import SILENT_FRAMES, prefix_latents

HIGHEST = 7.0
"""Quality (of ``speechlm compress --quality``, 0 to 10) above which nearly all keep all levels."""


@torch.no_grad()
def silence(network: CodecNetwork) -> Tensor:
    """Latents (dim, 1) of the middle of a long silence: what a frame without levels holds."""
    quantizer = network.quantizer
    wave = torch.zeros(1, SILENT_FRAMES * network.config.hop_length)
    return quantizer.decode(quantizer.encode(network.encoder(wave)))[0, :, -1:]


@torch.no_grad()
def latents(
    network: CodecNetwork, wave: Tensor, silence: Tensor, num_codebooks: Tensor, qualities: Tensor
) -> Tensor:
    """Latents (batch, dim, frames) of the codes that are kept of ``wave`` (batch, samples).

    Args:
        silence: see :func:`silence`.
        num_codebooks: (batch,) how many each frame of an example keeps.
        qualities: (batch,) of examples that are cut as ``speechlm compress --quality`` does
            instead, by prices of packed bits; NaN for the others.
    """
    quantizer, hop_length = network.quantizer, network.config.hop_length
    z = network.encoder(network.padded(wave)).float()
    with torch.autocast(wave.device.type, enabled=False):
        kept, lacking = prefix_latents(quantizer, quantizer.encode(z), silence)
    errors = lacking.cpu().numpy()
    bits = float(np.log2(quantizer.codebook_size))
    counts = num_codebooks[:, None].repeat(1, kept.shape[3])
    for row, quality in enumerate(qualities.tolist()):
        if not np.isnan(quality):
            loudness = rate_control.Loudness(hop_length, network.config.sample_rate)
            loudness.push(wave[row].cpu().numpy())
            loss = errors[row] * rate_control.weights(loudness.take(kept.shape[3]))
            counts[row] = torch.from_numpy(_cut(loss, bits, quality))
    place = counts[:, None, None].expand(-1, 1, kept.shape[2], -1)
    return kept.gather(1, place)[:, 0]


def _cut(loss: NDArray[np.float64], bits: float, quality: float) -> NDArray[np.int64]:
    most, frames = len(loss) - 1, loss.shape[1]
    spent = rate_control.cumulative(np.full((most, frames), bits))
    return rate_control.viterbi_levels(loss, spent, rate_control.quality_price(quality), most)
