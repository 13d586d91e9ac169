"""What ``eval/probe.yaml`` and ``eval/layers.yaml`` may say."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from speechlm.tokenizers.features import TeacherConfig
from speechlm.training.units import UnitsDataConfig


@dataclass
class LabelsConfig:
    """Recordings of which it is known what is heard when."""

    corpus: str = MISSING
    """A prepared corpus, or what else ``speechlm tokenize`` takes."""
    kind: str = "xwaves"
    """``xwaves``: label files in ``folder``, ``NAME.lab`` for the utterance ``NAME`` or
    ``...-NAME``; or ``words``, as ``speechlm align`` finds them."""
    folder: str | None = None
    utterances: int = 150
    """So many at most, evenly spread."""
    silence: list[str] = field(default_factory=lambda: ["pau", "H#", "sil", "ssil", "#"])
    """Labels that are none: nothing that is said of labels counts them."""
    shortest: float = 0.04
    """Seconds of a label that discrimination judges, whatever the frame rate of a tokenizer."""
    most: int = 60
    """Kinds of labels that discrimination judges: those that are heard most often."""
    triples: int = 12
    """For each pair of kinds."""


@dataclass
class SpeakersConfig:
    """Recordings of many speakers: all utterances of ``speakers`` of them, evenly chosen."""

    corpus: str = MISSING
    speakers: int = 20


@dataclass
class TokenizerConfig:
    """A tokenizer: a folder or hub id, or a codec (null: the shipped one), of which level 0."""

    model: str | None = None


@dataclass
class LayersConfig:
    """Layers of a deep teacher, each of which is clustered anew."""

    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    layers: list[int] = field(default_factory=list)
    """Counted from 1."""
    clusters: int = 100
    data: UnitsDataConfig = field(default_factory=UnitsDataConfig)
    """What is clustered."""
    by: str = MISSING
    """The labels by which the best layer is told."""
    out: str = MISSING
    """Folder for the features, .28 GB for an hour of a layer of 768 numbers. A run that was stopped
    goes on there."""
    seed: int = 0


@dataclass
class ProbeConfig:
    """Which tokenizers, by the names to give them, or layers of a teacher, on which recordings."""

    labels: dict[str, LabelsConfig | None] = field(default_factory=dict)
    speakers: SpeakersConfig = field(default_factory=SpeakersConfig)
    tokenizers: dict[str, TokenizerConfig | None] = field(default_factory=dict)
    layers: LayersConfig | None = None
