"""The seam of a teacher: whatever turns a waveform into features at a frame rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn


@dataclass
class TeacherConfig:
    """Which features.

    ``kind`` is ``log-mel`` or ``mfcc``, computed from the waveform with frames of ``hop_length``
    samples at 16 kHz; or ``whisper``, ``transformers`` (HuBERT, wav2vec 2.0, data2vec, ...) or
    ``torchaudio`` (a bundle of its pipelines), which take a pretrained ``model``. Of the last two,
    ``layer`` counts the outputs of the transformer's layers from 1; the last one when null.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"hop": "hop_length"}

    kind: str = "mfcc"
    model: str | None = None
    layer: int | None = None
    hop_length: int = 320


class Teacher(ABC):
    """Waveform to features. Frame t stands for samples ``t * hop`` to before ``(t + 1) * hop``.

    Attributes:
        device: where it computes, and features are.
        fingerprint: changes whenever the same waveform may get other features.
        dim: of the features.
    """

    sample_rate: int
    hop_length: int
    dim: int
    fingerprint: str

    device = torch.device("cpu")

    def to(self, device: str | torch.device) -> Self:
        """Move to a device, in place."""
        self.device = torch.device(device)
        for name, part in vars(self).items():
            if isinstance(part, nn.Module | Tensor):
                setattr(self, name, part.to(self.device))
        return self

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> Tensor:
        """Features float32 (frames, dim) of ``wave`` (samples,): frames that cover it."""
        frames = -(-len(wave) // self.hop_length)
        if not frames:
            return torch.zeros(0, self.dim, device=self.device)
        whole = nn.functional.pad(wave.to(self.device), (0, frames * self.hop_length - len(wave)))
        return self._features(whole).float().contiguous()

    @abstractmethod
    def _features(self, wave: Tensor) -> Tensor:
        """Features (samples // hop, dim) of one or more whole frames."""
