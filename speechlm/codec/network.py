"""The trainable codec: encoder, quantizer, decoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.codec.config import CodecConfig, QuantizerConfig
from speechlm.codec.seanet import SeanetDecoder, SeanetEncoder
from speechlm.codec.spectral import SpectralDecoder, SpectralEncoder
from speechlm.errors import SpeechLMError
from speechlm.nn import Streaming
from speechlm.quantize import (
    FiniteScalarQuantizer,
    Quantized,
    Quantizer,
    ResidualQuantizer,
    ResidualScalarQuantizer,
)


class CodecNetwork(nn.Module):
    """What training updates. For use, wrap it in :class:`speechlm.codec.NeuralCodec`.

    ``delay`` is the number of samples by which the decoder's output lags the encoder's input.

    Raises:
        SpeechLMError: for an unknown architecture or quantizer, or strides that miss the hop.
    """

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.encoder: Streaming
        self.decoder: Streaming
        if config.architecture == "spectral":
            self.encoder, self.decoder = SpectralEncoder(config), SpectralDecoder(config)
            self.delay = config.hop
        elif config.architecture == "seanet":
            if math.prod(config.seanet.strides) != config.hop:
                raise SpeechLMError(
                    f"codec: the product of seanet.strides {list(config.seanet.strides)} "
                    f"is not the hop {config.hop}"
                )
            self.encoder, self.decoder = SeanetEncoder(config), SeanetDecoder(config)
            self.delay = 0
        else:
            raise SpeechLMError(
                f"codec: architecture is 'spectral' or 'seanet', not {config.architecture!r}"
            )
        self.quantizer = build_quantizer(config.quantizer, config.latent)

    def frames(self, samples: int) -> int:
        """Frames that cover ``samples`` samples and the decoder's delay."""
        return -(-(samples + self.delay) // self.config.hop) if samples else 0

    def forward(
        self, wave: Tensor, levels: Tensor | None = None, bypass: bool = False
    ) -> tuple[Tensor, Quantized]:
        """Reconstruct ``wave`` (batch, samples) with so many ``levels`` (batch,) of each example.

        ``bypass`` decodes the latents unquantized.
        """
        samples = wave.shape[1]
        padded = F.pad(wave, (0, self.frames(samples) * self.config.hop - samples))
        z = self.encoder(padded).float()
        if bypass:
            quantized = Quantized(z, torch.empty(len(z), 0, z.shape[2], dtype=torch.int64))
        else:
            with torch.autocast(wave.device.type, enabled=False):
                quantized = self.quantizer(z, levels)
        estimate = self.decoder(quantized.z).float()
        return estimate[:, self.delay : self.delay + samples], quantized


def build_quantizer(config: QuantizerConfig, dim: int) -> Quantizer:
    """The quantizer that ``config`` names, for latents of ``dim`` channels."""
    grid = tuple(config.grid)
    if config.kind == "residual-vector":
        return ResidualQuantizer(
            dim,
            config.levels,
            config.cardinality,
            config.update,
            config.lookup,
            config.decay,
            config.restart,
        )
    if config.kind == "residual-scalar":
        return ResidualScalarQuantizer(dim, config.levels, grid)
    if config.kind == "scalar":
        return FiniteScalarQuantizer(dim, grid, config.dither)
    raise SpeechLMError(
        "codec: quantizer.kind is 'residual-vector', 'residual-scalar' or 'scalar', "
        f"not {config.kind!r}"
    )
