"""Units that tell what a teacher hears: a loss on level 0 of a codec.

As in SpeechTokenizer (Zhang et al. 2023) and Mimi (Défossez et al. 2024): a linear map of the
vectors of level 0 is to point where the features of the teacher do. The levels after it keep the
sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.codec.config import CodecConfig
from speechlm.errors import SpeechLMError
from speechlm.units import features
from speechlm.units.features import TeacherConfig


@dataclass
class DistillationConfig:
    """Which teacher, if any, and the weight of the loss."""

    teacher: TeacherConfig | None = None
    weight: float = 1.0


class DistillationLoss(nn.Module):
    """One minus the cosine of what level 0 says and the teacher's features, less their mean.

    Raises:
        SpeechLMError: when the teacher cannot be had, or has other frames than the codec.
    """

    def __init__(self, teacher: TeacherConfig, codec: CodecConfig):
        super().__init__()
        self.teacher = features.build(teacher)
        frames = self.teacher.sample_rate, self.teacher.hop
        if frames != (codec.sample_rate, codec.hop):
            raise SpeechLMError(
                f"distillation.teacher has frames of {frames[1]} samples at {frames[0]} Hz, the "
                f"codec of {codec.hop} at {codec.sample_rate} Hz"
            )
        self.project = nn.Linear(codec.latent, self.teacher.dim)

    def output_heads(self) -> list[nn.Module]:
        """The layer that predicts the teacher's features."""
        return [self.project]

    def forward(self, first: Tensor, z: Tensor, wave: Tensor) -> Tensor:
        """The loss, of the vectors of level 0, and of what was quantized (batch, dim, frames).

        ``z`` is what carries the gradient to the encoder, straight through level 0.
        """
        heard = torch.stack([self.teacher(each.cpu()) for each in wave]).to(wave.device)
        heard = heard - heard.mean(dim=(0, 1))
        through = z + (first - z).detach()
        said = self.project(through[:, :, : heard.shape[1]].mT)
        return 1 - F.cosine_similarity(said, heard, dim=2).mean()
