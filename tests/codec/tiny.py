"""Small codecs of random weights, of every architecture and family of quantizers."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from speechlm.codec import CodecConfig, CodecNetwork, NeuralCodec, StreamDecoder, StreamEncoder
from speechlm.codec.config import QuantizerConfig, SeanetConfig, SpectralConfig

ARCHITECTURES = ("spectral", "spectral-short", "seanet")
"""``spectral-short`` has synthesis windows that overlap by half a hop."""
KINDS = ("residual-vector", "residual-scalar", "scalar")
HOP = 12


def config(architecture: str = "spectral", kind: str = "residual-vector") -> CodecConfig:
    """A codec at 1200 Hz and 100 frames a second."""
    return CodecConfig(
        name="tiny",
        sample_rate=1200,
        hop_length=HOP,
        latent=8,
        architecture=architecture.removesuffix("-short"),
        spectral=SpectralConfig(16, 2, 16, 2, overlap=overlap(architecture, HOP)),
        seanet=SeanetConfig(4, [3, 4], [1, 3], 5),
        quantizer=QuantizerConfig(kind=kind, num_codebooks=4, codebook_size=16, grid=[3, 4, 5]),
    )


def overlap(architecture: str, hop_length: int) -> int | None:
    """The overlap of the synthesis windows of one of :data:`ARCHITECTURES`."""
    return hop_length // 2 if architecture.endswith("-short") else None


@torch.no_grad()
def network(made: CodecConfig, seed: int = 0) -> CodecNetwork:
    """A network of random weights whose codes follow the wave.

    Torch's initial biases outweigh what its initial weights let through of a signal: after a dozen
    convolutions all frames are alike, and tests of codes would compare constants.
    """
    torch.manual_seed(seed)
    net = CodecNetwork(made)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.ndim > 1 and "codebook" not in name:
            parameter.mul_(3**0.5)
    return net


@cache
def codec(architecture: str = "spectral", kind: str = "residual-vector") -> NeuralCodec:
    return NeuralCodec(network(config(architecture, kind)))


def waves(batch: int, samples: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(batch, samples, generator=generator)


def encode_chunks(stream: StreamEncoder, chunks: list[Tensor]) -> Tensor:
    """All codes of a stream that these chunks are pushed to."""
    return torch.cat([*(stream.push(chunk) for chunk in chunks), stream.flush()], dim=2)


def decode_chunks(stream: StreamDecoder, chunks: list[Tensor], length: int | None = None) -> Tensor:
    """All samples of a stream that these codes are pushed to."""
    parts = [stream.push(chunk) for chunk in chunks]
    return torch.cat([*parts, stream.flush(length)], dim=1)[:, :length]


def assert_same_wave(wave: Tensor, expected: Tensor) -> None:
    """To 1e-5 of full scale, which random weights may exceed."""
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(wave, expected, atol=1e-5 * scale, rtol=0)
