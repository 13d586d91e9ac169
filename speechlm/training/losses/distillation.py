"""Distillation of a teacher's features into the first codebook of a codec.

As in SpeechTokenizer (Zhang et al. 2023) and Mimi (Défossez et al. 2024): a linear projection of
the first codebook's vectors is trained to the direction of the teacher's features. The codebooks
after it code the rest of the sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.codec.config import CodecConfig
from speechlm.errors import SpeechLMError
from speechlm.tokenizers import features
from speechlm.tokenizers.features import TeacherConfig
from speechlm.training.losses.terms import Weight


@dataclass
class DistillationConfig:
    """Which teacher, if any, and the weight of the loss."""

    teacher: TeacherConfig | None = None
    weight: Weight = 1.0


class DistillationLoss(nn.Module):
    """One minus the cosine of projected vectors of the first codebook and the teacher's features.

    The mean of the features over the batch is subtracted.

    Raises:
        SpeechLMError: when the teacher cannot be had, or has other frames than the codec.
    """

    def __init__(self, teacher: TeacherConfig, codec: CodecConfig):
        super().__init__()
        self.teacher = features.build(teacher)
        frames = self.teacher.sample_rate, self.teacher.hop_length
        if frames != (codec.sample_rate, codec.hop_length):
            raise SpeechLMError(
                f"distillation.teacher has frames of {frames[1]} samples at {frames[0]} Hz, the "
                f"codec of {codec.hop_length} at {codec.sample_rate} Hz"
            )
        self.project = nn.Linear(codec.latent, self.teacher.dim)

    def output_heads(self) -> list[nn.Module]:
        """The layer that predicts the teacher's features."""
        return [self.project]

    def forward(self, first: Tensor, z: Tensor, wave: Tensor) -> Tensor:
        """The loss.

        Args:
            first: what the codes of the first codebook stand for (batch, dim, frames).
            z: what was quantized, of the same shape. It gets the gradient, straight through.
            wave: (batch, samples).
        """
        teacher = torch.stack([self.teacher(row.cpu()) for row in wave]).to(wave.device)
        teacher = teacher - teacher.mean(dim=(0, 1))
        straight_through = z + (first - z).detach()
        projected = self.project(straight_through[:, :, : teacher.shape[1]].mT)
        return 1 - F.cosine_similarity(projected, teacher, dim=2).mean()
