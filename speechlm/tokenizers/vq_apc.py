"""Units learnt without a teacher or text: what helps to predict how speech goes on.

Autoregressive predictive coding with a codebook (Chung et al. 2020, VQ-APC): a causal network over
log-mel frames, whose last layer is quantized, predicts the frame some steps later. Nothing looks
ahead but a frame's window, which hears half a hop past it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from speechlm import hub
from speechlm.codec.spectral import FrameLinear, FrameNorm
from speechlm.errors import SpeechLMError
from speechlm.nn import Chain, ConvNeXtBlock
from speechlm.quantize import Quantized
from speechlm.quantize.vector import VectorQuantizer
from speechlm.tokenizers import features
from speechlm.tokenizers.features import TeacherConfig
from speechlm.tokenizers.semantic import FrameUnits, SemanticUnits
from speechlm.tokenizers.serialization import FrameTokens


@dataclass
class VqApcConfig:
    """The ``config.yaml`` of such a folder. ``shift`` is a number of frames, of ``hop_length``
    samples."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"hop": "hop_length"}

    kind: str = "vq-apc"
    name: str = "units"
    hop_length: int = 320
    clusters: int = 100
    dim: int = 192
    blocks: int = 4
    shift: int = 3


class VqApcNetwork(nn.Module):
    """What training updates. Features are log-mel (batch, frames, bands), standardised."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: VqApcConfig):
        super().__init__()
        self.config = config
        self.teacher = features.build(TeacherConfig("log-mel", hop_length=config.hop_length))
        bands, dim = self.teacher.dim, config.dim
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("scale", torch.ones(bands))
        self.stack = Chain(
            FrameLinear(bands, dim),
            FrameNorm(dim),
            *(ConvNeXtBlock(dim) for _ in range(config.blocks)),
            FrameNorm(dim, affine=False),
        )
        self.quantizer = VectorQuantizer(dim, config.clusters)
        self.out = FrameLinear(dim, bands)

    def output_heads(self) -> list[nn.Module]:
        """The layer that predicts features."""
        return [self.out]

    def features(self, wave: Tensor) -> Tensor:
        """Standardised features (batch, bands, frames) of ``wave`` (batch, samples)."""
        found = torch.stack([self.teacher(each.cpu()) for each in wave]).to(self.mean.device)
        return ((found - self.mean) / self.scale).mT

    def forward(self, x: Tensor) -> tuple[Tensor, Quantized]:
        """Predictions (batch, bands, frames) of the frames ``shift`` later, and what made them."""
        quantized: Quantized = self.quantizer(self.stack(x))
        return self.out(quantized.z), quantized

    def weights(self) -> dict[str, Tensor]:
        """What units depend on."""
        left = ("out.", "quantizer.cluster_size", "quantizer.initialized")
        return {n: value for n, value in self.state_dict().items() if not n.startswith(left)}


class VqApc(FrameUnits):
    """The units of a trained network."""

    def __init__(self, network: VqApcNetwork):
        self.network = network.eval().requires_grad_(False)
        config, teacher = network.config, network.teacher
        self.name, self.clusters, self.hop_length = config.name, config.clusters, config.hop_length
        self.sample_rate = teacher.sample_rate
        whole = f"{hub.weights_hash(network.weights())} {teacher.fingerprint}"
        self.weights_hash = hashlib.sha256(whole.encode()).hexdigest()[:8]

    @property
    def device(self) -> torch.device:
        return self.network.mean.device

    def to(self, device: str | torch.device) -> Self:
        self.network.to(device)
        return self

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> Tensor:
        if not len(wave):
            return torch.zeros(0, dtype=torch.int64, device=self.device)
        z = self.network.stack(self.network.features(wave[None]))
        return self.network.quantizer.encode(z)[0, 0]


def load(folder: Path, num_codebooks: int | None = None, framed: bool = False) -> SemanticUnits:
    """The tokenizer in a model folder; see :func:`speechlm.tokenizers.load.load`."""
    config, weights = hub.load_model(folder, VqApcConfig)
    network = hub.build(lambda: VqApcNetwork(config), weights, folder)
    try:
        missing, unexpected = network.load_state_dict(weights, strict=False)
    except RuntimeError:
        missing, unexpected = [], ["a tensor of another shape"]
    if unexpected or set(missing) & set(network.weights()):
        raise SpeechLMError(f"{folder}: the weights do not fit the configuration")
    return SemanticUnits(
        VqApc(network), FrameTokens(config.clusters), config.hop_length, num_codebooks
    )
