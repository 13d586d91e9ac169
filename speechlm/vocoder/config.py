"""The vocoder's architecture as data: the ``config.yaml`` of its folder."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class VoiceConfig:
    """The encoder of a prompt: who speaks."""

    dim: int = 96
    blocks: int = 2
    size: int = 64
    """Of what it gives."""


@dataclass
class VocoderConfig:
    """A vocoder of units with ``levels`` of ``cardinality``, a frame of ``hop`` samples.

    ``ahead`` frames after one are heard before it sounds; ``parts`` spectra are made of a frame.
    Training sets what the units are: those of ``codec`` (a name), or of the tokenizer in the folder
    ``units`` beside this file; ``weights`` says which weights these have.
    """

    kind: str = "vocoder"
    name: str = "vocoder"
    codec: str | None = None
    weights: str = ""
    sample_rate: int = 16000
    hop: int = 320
    levels: int = 1
    cardinality: int = 100
    dim: int = 192
    blocks: int = 4
    ahead: int = 4
    parts: int = 2
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    duration_dim: int = 64
