"""The codec's architecture as data: the ``config.yaml`` of a model folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class SpectralConfig:
    """Frame-rate stack: causal STFT, ConvNeXt, and back. One frame a hop, windows of two hops."""

    encoder_dim: int = 192
    encoder_blocks: int = 4
    decoder_dim: int = 256
    decoder_blocks: int = 6
    compress: float = 0.3
    """Exponent on spectral magnitudes, both of the encoder's input and of the decoder's output."""
    head: str = "complex"
    """``complex`` (real and imaginary parts, compressed) or ``polar`` (log-magnitude and phase)."""
    overlap: int | None = None
    """Samples by which neighbouring synthesis windows overlap; one hop when null. The algorithmic
    latency is a hop and the overlap."""


@dataclass
class SeanetConfig:
    """Sample-rate stack of strided convolutions (SEANet, as in SoundStream and EnCodec)."""

    channels: int = 16
    strides: list[int] = field(default_factory=lambda: [2, 4, 5, 8])
    dilations: list[int] = field(default_factory=lambda: [1, 3])
    kernel: int = 7


@dataclass
class QuantizerConfig:
    """How latents become codes.

    ``kind`` is ``residual-vector``, ``residual-scalar`` or ``scalar``. Of the other fields, the
    vector kind reads ``codebook_size``, ``update``, ``codebook_dim``, ``decay`` and
    ``dead_code_threshold``; the scalar kinds read ``grid``; the single ``scalar`` reads ``dither``
    and has one codebook.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "levels": "num_codebooks",
        "cardinality": "codebook_size",
        "lookup": "codebook_dim",
        "restart": "dead_code_threshold",
    }

    kind: str = "residual-vector"
    num_codebooks: int = 12
    codebook_size: int = 1024
    update: str = "ema"
    codebook_dim: int | None = None
    decay: float = 0.99
    dead_code_threshold: float = 0.1
    grid: list[int] = field(default_factory=lambda: [4, 4, 4, 4, 4])
    dither: float = 0.5


@dataclass
class CodecConfig:
    """A codec. ``architecture`` is ``spectral`` or ``seanet``; the other section is not read."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"hop": "hop_length"}

    name: str = "speechlm-codec-16k"
    sample_rate: int = 16000
    hop_length: int = 320
    latent: int = 128
    architecture: str = "spectral"
    spectral: SpectralConfig = field(default_factory=SpectralConfig)
    seanet: SeanetConfig = field(default_factory=SeanetConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
