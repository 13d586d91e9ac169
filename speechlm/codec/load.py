"""Any codec by name."""

from __future__ import annotations

from pathlib import Path

import torch

from speechlm.codec.base import Codec
from speechlm.codec.neural import NeuralCodec


def load(name: str | Path | None = None, device: str | torch.device = "cpu") -> Codec:
    """A codec of this project: a model folder, a hub id, or (None) the shipped default.

    Raises:
        SpeechLMError: when there is no such model, or its files do not fit together.
    """
    return NeuralCodec.from_pretrained(name, device)
