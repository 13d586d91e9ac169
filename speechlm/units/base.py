"""The seam of unit tokenizers, with which corpora are tokenized and language models speak."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Units:
    """Which units some codes are. Codes of different ``Units`` have nothing to do with each other.

    ``model`` and ``weights`` are what the tokenizer calls itself and the hash of its weights;
    a frame is ``hop`` samples at ``sample_rate`` Hz and has ``levels`` units of ``cardinality``.
    """

    model: str
    weights: str
    sample_rate: int
    hop: int
    levels: int
    cardinality: int

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    def __str__(self) -> str:
        return f"{self.levels} levels of {self.model} ({self.weights})"


class UnitTokenizer(ABC):
    """Speech to units and back.

    Attributes:
        units: which units these are.
    """

    units: Units

    @abstractmethod
    def encode(self, wave: Tensor) -> Tensor:
        """Units int64 (batch, levels, frames) of ``wave`` (batch, samples)."""

    @abstractmethod
    def decode(self, units: Tensor, length: int | None = None) -> Tensor:
        """Waveform (batch, samples) of ``units``: ``length`` samples, or all that they cover."""
