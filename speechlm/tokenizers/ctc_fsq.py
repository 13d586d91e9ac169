"""Supervised semantic tokens: an FSQ bottleneck in a small CTC recogniser on a teacher's features.

As the speech tokenizer of CosyVoice (Du et al. 2024), which quantizes in the middle of a
recogniser: what the codes keep is what the transcript needs. The quantizer is finite scalar
(Mentzer et al. 2023), as in CosyVoice 2, and the recogniser is trained by CTC (Graves et al. 2006)
on the features of a frozen teacher, which a second head reconstructs.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.quantize.finite_scalar import FiniteScalarQuantizer
from speechlm.tokenizers import features
from speechlm.tokenizers.features import TeacherConfig
from speechlm.tokenizers.semantic import FrameUnits, SemanticUnits
from speechlm.tokenizers.serialization import FrameTokens


@dataclass
class CtcFsqConfig:
    """The ``config.yaml`` of such a folder.

    A token is made of ``stride`` frames of the teacher, and of what ``blocks`` convolutions of
    ``kernel`` (odd) see around them before, and as many after, striding. ``grid`` gives the values
    of each dimension of FSQ. Training sets the teacher's ``fingerprint``.
    """

    kind: str = "ctc-fsq"
    name: str = "units"
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    fingerprint: str = ""
    grid: list[int] = field(default_factory=lambda: [3, 3, 3, 3, 3, 3])
    stride: int = 2
    dim: int = 256
    blocks: int = 2
    kernel: int = 5

    @property
    def clusters(self) -> int:
        """Kinds of tokens."""
        return math.prod(self.grid)


class ConvBlocks(nn.Module):
    """Residual convolutions over (batch, frames, dim), each after a layer norm."""

    def __init__(self, dim: int, blocks: int, kernel: int, dropout: float = 0.0):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(blocks))
        self.convs = nn.ModuleList(
            nn.Conv1d(dim, dim, kernel, padding=kernel // 2) for _ in range(blocks)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """``kept`` (batch, frames, 1) is zero where an example has ended."""
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = x + self.drop(F.gelu(conv((norm(x) * kept).mT).mT))
        return x


class CtcFsqEncoder(nn.Module):
    """Features of dimension ``inputs``, standardised, to the tokens' latents.

    Raises:
        SpeechLMError: for an even kernel, which has no middle, or a grid that is none.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: CtcFsqConfig, inputs: int, dropout: float = 0.0):
        super().__init__()
        dim, kernel = config.dim, config.kernel
        if kernel % 2 == 0:
            raise SpeechLMError(f"units.kernel is odd, not {kernel}")
        self.stride = config.stride
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.input_proj = nn.Linear(inputs, dim)
        self.before = ConvBlocks(dim, config.blocks, kernel, dropout)
        self.down = nn.Linear(dim * config.stride, dim)
        self.after = ConvBlocks(dim, config.blocks, kernel, dropout)
        self.norm = nn.LayerNorm(dim)
        try:
            self.quantizer = FiniteScalarQuantizer(dim, tuple(config.grid))
        except ValueError as error:
            raise SpeechLMError(f"units.grid: {error}") from None

    def forward(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (batch, dim, tokens) of features (batch, frames, inputs), and the mask
        (batch, tokens, 1) of tokens that exist.

        What is beyond the ``frames`` (batch,) of an example is not seen.
        """
        h = F.pad(
            self.input_proj((x - self.mean) / self.scale), (0, 0, 0, -x.shape[1] % self.stride)
        )
        kept = mask(frames, h.shape[1])
        h = self.before(h, kept) * kept
        h = self.down(h.unflatten(1, (-1, self.stride)).flatten(2))
        tokens = mask(-(-frames // self.stride), h.shape[1])
        return self.norm(self.after(h, tokens)).mT, tokens

    def encode(self, x: Tensor) -> Tensor:
        """Tokens int64 (batch, tokens) of features (batch, frames, inputs)."""
        frames = torch.full((len(x),), x.shape[1], device=x.device)
        return self.quantizer.encode(self(x, frames)[0])[:, 0]


def mask(lengths: Tensor, longest: int) -> Tensor:
    """(batch, longest, 1): 1 before each of ``lengths`` (batch,), then 0."""
    return (torch.arange(longest, device=lengths.device) < lengths[:, None])[..., None].float()


class CtcFsq(FrameUnits):
    """The tokens of a trained encoder.

    Raises:
        SpeechLMError: when the teacher cannot be had or is another than that of training, or the
            weights do not fit.
    """

    def __init__(self, config: CtcFsqConfig, weights: dict[str, Tensor]):
        self.teacher = features.build_as_trained(config.teacher, config.fingerprint, config.name)
        dim = self.teacher.dim
        network = hub.build(lambda: CtcFsqEncoder(config, dim), weights, config.name)
        hub.fill(network, weights, config.name)
        self.network = network.eval().requires_grad_(False)
        self.name, self.clusters = config.name, config.clusters
        self.sample_rate = self.teacher.sample_rate
        self.hop_length = self.teacher.hop_length * config.stride
        whole = f"{hub.weights_hash(weights)} {self.teacher.fingerprint}"
        self.weights_hash = hashlib.sha256(whole.encode()).hexdigest()[:8]

    @property
    def device(self) -> torch.device:
        return self.network.down.weight.device

    def to(self, device: str | torch.device) -> Self:
        self.teacher.to(device)
        self.network.to(device)
        return self

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> Tensor:
        if not len(wave):
            return torch.zeros(0, dtype=torch.int64, device=self.device)
        return self.network.encode(self.teacher(wave)[None])[0]


def load(folder: Path, num_codebooks: int | None = None, framed: bool = False) -> SemanticUnits:
    """The tokenizer in a model folder; see :func:`speechlm.tokenizers.load.load`."""
    config, weights = hub.load_model(folder, CtcFsqConfig)
    source = CtcFsq(config, weights)
    return SemanticUnits(source, FrameTokens(source.clusters), source.hop_length, num_codebooks)
