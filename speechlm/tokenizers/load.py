"""Any unit tokenizer by name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from speechlm import codec, hub
from speechlm.config import load_yaml
from speechlm.tokenizers.base import UnitTokenizer
from speechlm.tokenizers.codec import CodecUnits
from speechlm.utils.files import copy

KINDS = {
    "ctc-fsq": "speechlm.tokenizers.ctc_fsq",
    "kmeans": "speechlm.tokenizers.kmeans",
    "stacked": "speechlm.tokenizers.stacked",
    "vocoder": "speechlm.vocoder.model",
    "vq-apc": "speechlm.tokenizers.vq_apc",
}
"""What a model folder's ``config.yaml`` calls its ``kind``, and the module that loads it."""
TOKENIZER = "units"
"""The folder of a tokenizer inside that of what needs it."""


def load(
    name: str | Path | None = None,
    num_codebooks: int | None = None,
    framed: bool = False,
    device: str | torch.device = "cpu",
) -> UnitTokenizer:
    """A codec, as :func:`speechlm.codec.load` takes it, or the folder or hub id of a tokenizer.

    Args:
        num_codebooks: of the units, from the first; all by default.
        framed: a unit for every frame, of a tokenizer that would give runs or pieces too.
        device: where it computes.

    Raises:
        SpeechLMError: when there is no such model, or it has fewer levels.
    """
    if name is not None and not hub.is_peer(name):
        folder = hub.find_model(name)
        kind = load_yaml(folder / hub.CONFIG, []).get("kind")
        if kind in KINDS:
            module: Any = importlib.import_module(KINDS[kind])
            found: UnitTokenizer = module.load(folder, num_codebooks, framed)
            found.folder = folder
            return found.to(device)
    return CodecUnits(codec.load(name, device), num_codebooks)


def embed(name: str | Path | None, folder: Path) -> None:
    """Copy a tokenizer, a model folder or hub id, into the model folder of what needs it.

    Of a vocoder, it is the tokenizer inside it.

    Raises:
        SpeechLMError: when there is no such model.
    """
    source = hub.find_model(name)
    if (source / TOKENIZER).is_dir():
        source = source / TOKENIZER
    for file in filter(Path.is_file, source.iterdir()):
        copy(file, folder / TOKENIZER / file.name)
