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

    ``decoder_delay`` is the number of samples by which the decoder's output lags the encoder's
    input.

    Raises:
        SpeechLMError: for a configuration of which no network can be made.
    """

    encoder: Streaming
    decoder: Streaming

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        try:
            self._build(config)
        except (ValueError, RuntimeError) as error:  # torch's, for a size below zero, is the latter
            raise SpeechLMError(f"codec: {str(error).splitlines()[0]}") from None

    def _build(self, config: CodecConfig) -> None:
        if config.sample_rate < 1:
            raise ValueError(f"sample_rate is {config.sample_rate}")
        if config.architecture == "spectral":
            self.encoder, self.decoder = SpectralEncoder(config), SpectralDecoder(config)
            overlap = config.spectral.overlap
            self.decoder_delay = config.hop_length if overlap is None else overlap
        elif config.architecture == "seanet":
            strides = list(config.seanet.strides)
            if math.prod(strides) != config.hop_length:
                raise ValueError(
                    f"the product of seanet.strides {strides} is not the hop {config.hop_length}"
                )
            self.encoder, self.decoder = SeanetEncoder(config), SeanetDecoder(config)
            self.decoder_delay = 0
        else:
            raise ValueError(f"architecture is spectral or seanet, not {config.architecture}")
        self.quantizer = build_quantizer(config.quantizer, config.latent)

    def weights(self) -> dict[str, Tensor]:
        """The state that use needs: all but how often training saw each entry."""
        return {name: value for name, value in self.state_dict().items() if not _is_count(name)}

    def code_weights(self) -> dict[str, Tensor]:
        """Those of the :meth:`weights` that give codes their meaning: all but the decoder's."""
        kept = self.weights()
        return {name: kept[name] for name in kept if not name.startswith("decoder.")}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """The inverse of :meth:`weights`.

        Raises:
            SpeechLMError: when they are those of another architecture.
        """
        try:
            missing, unexpected = self.load_state_dict(weights, strict=False)
        except RuntimeError:
            missing, unexpected = [], ["a tensor of another shape"]
        if unexpected or not all(_is_count(name) for name in missing):
            raise SpeechLMError("the weights do not fit the configuration: another architecture")

    def num_frames(self, samples: int) -> int:
        """Frames that cover ``samples`` samples and the decoder's delay."""
        return -(-(samples + self.decoder_delay) // self.config.hop_length) if samples else 0

    def forward(
        self, wave: Tensor, num_codebooks: Tensor | None = None, bypass: bool = False
    ) -> tuple[Tensor, Quantized]:
        """Reconstruct ``wave`` (batch, samples) with so many ``num_codebooks`` (batch,) of each
        example.

        ``bypass`` decodes the latents unquantized.
        """
        z = self.encoder(self.padded(wave)).float()
        if bypass:
            quantized = Quantized(z, torch.empty(len(z), 0, z.shape[2], dtype=torch.int64))
        else:
            with torch.autocast(wave.device.type, enabled=False):
                quantized = self.quantizer(z, num_codebooks)
        return self.sound(quantized.z, wave.shape[1]), quantized

    def padded(self, wave: Tensor) -> Tensor:
        """``wave`` (batch, samples), and silence to the end of the frames that cover it."""
        samples = wave.shape[1]
        return F.pad(wave, (0, self.num_frames(samples) * self.config.hop_length - samples))

    def sound(self, z: Tensor, samples: int) -> Tensor:
        """Waveform (batch, samples) of latents (batch, dim, frames) that cover it."""
        return self.decoder(z).float()[:, self.decoder_delay : self.decoder_delay + samples]


def _is_count(name: str) -> bool:
    return name.endswith((".cluster_size", ".counts"))


def build_quantizer(config: QuantizerConfig, dim: int) -> Quantizer:
    """The quantizer that ``config`` names, for latents of ``dim`` channels.

    Raises:
        ValueError: for another name, or settings that the quantizer refuses.
    """
    grid = tuple(config.grid)
    if config.kind == "residual-vector":
        return ResidualQuantizer(
            dim,
            config.num_codebooks,
            config.codebook_size,
            config.update,
            config.codebook_dim,
            config.decay,
            config.dead_code_threshold,
        )
    if config.kind == "residual-scalar":
        return ResidualScalarQuantizer(dim, config.num_codebooks, grid)
    if config.kind == "scalar":
        return FiniteScalarQuantizer(dim, grid, config.dither)
    raise ValueError(
        f"quantizer.kind is residual-vector, residual-scalar or scalar, not {config.kind}"
    )
