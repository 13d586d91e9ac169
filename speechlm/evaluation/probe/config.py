"""What ``eval/probe.yaml`` may say."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class PhonesConfig:
    """Recordings with phone labels."""

    corpus: str = MISSING
    """A prepared corpus, or what else ``speechlm tokenize`` takes."""
    labels: str = MISSING
    """Folder of xwaves label files, ``NAME.lab`` for the utterance ``NAME`` or ``...-NAME``."""
    utterances: int = 150
    """So many at most, evenly spread."""
    silence: list[str] = field(default_factory=lambda: ["pau", "H#", "sil", "ssil", "#"])
    """Labels that are no phones: nothing that is said of phones counts them."""
    shortest: float = 0.04
    """Seconds of a phone that discrimination judges, whatever the frame rate of a tokenizer."""
    triples: int = 12
    """For each pair of phones."""


@dataclass
class SpeakersConfig:
    """Recordings of many speakers: all utterances of ``speakers`` of them, evenly chosen."""

    corpus: str = MISSING
    speakers: int = 20


@dataclass
class SubjectConfig:
    """A tokenizer: a folder or hub id, or a codec (null: the shipped one), of which level 0."""

    model: str | None = None


@dataclass
class ProbeConfig:
    """Which tokenizers, by the names to give them, on which recordings."""

    phones: PhonesConfig = field(default_factory=PhonesConfig)
    speakers: SpeakersConfig = field(default_factory=SpeakersConfig)
    tokenizers: dict[str, SubjectConfig | None] = field(default_factory=dict)
