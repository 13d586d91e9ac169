"""The vocoder's architecture as data: the ``config.yaml`` of its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class VoiceConfig:
    """The encoder of a prompt: who speaks."""

    dim: int = 96
    blocks: int = 2
    size: int = 64
    """Of what it gives."""


@dataclass
class VocoderConfig:
    """A vocoder of units with ``num_codebooks`` of ``codebook_size``, a frame of ``hop_length``
    samples.

    ``ahead`` frames after one are heard before it sounds; ``parts`` spectra are made of a frame.
    Training sets what the units are: those of ``codec`` (a name), or of the tokenizer in the folder
    ``units`` beside this file; ``weights`` says which weights these have.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "hop": "hop_length",
        "levels": "num_codebooks",
        "cardinality": "codebook_size",
    }

    kind: str = "vocoder"
    name: str = "vocoder"
    codec: str | None = None
    weights: str = ""
    sample_rate: int = 16000
    hop_length: int = 320
    num_codebooks: int = 1
    codebook_size: int = 100
    dim: int = 192
    blocks: int = 4
    ahead: int = 4
    parts: int = 2
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    duration_dim: int = 64
