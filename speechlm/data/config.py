"""What a ``data/*.yaml`` may say, one dataclass a kind of corpus."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from speechlm.config import load_yaml, to_dataclass
from speechlm.data.sentences import KINDS as SENTENCES
from speechlm.errors import SpeechLMError


@dataclass
class SplitConfig:
    """How to cut a corpus into train, dev and test (see ``speechlm.data.splits``)."""

    by: str = "speaker"
    """``speaker`` (one speaker alone falls back to utterances) or ``utterance``."""
    dev: float = 0.03
    test: float = 0.05


@dataclass
class CorpusConfig:
    """Keys that every kind of corpus has."""

    name: str = MISSING
    kind: str = MISSING
    description: str = ""
    licence: str = ""
    output: str = "data/prepared/${name}"
    sample_rate: int = 16000
    """Of what is written, in Hz."""
    bandwidth: float | None = None
    """Highest frequency that the recordings carry, in Hz, when it is below 8 kHz."""
    min_seconds: float = 0.3
    """Shorter recordings are left out."""
    split: SplitConfig = field(default_factory=SplitConfig)


@dataclass
class DebianConfig(CorpusConfig):
    """A corpus inside Debian packages."""

    packages: list[str] = MISSING
    package_cache: str = "data/packages"


@dataclass
class VoicesConfig(DebianConfig):
    """Debian packages with one voice a language: ``languages`` says which to take."""

    languages: list[str] = MISSING


@dataclass
class FolderConfig(CorpusConfig):
    """A folder of recordings (see ``speechlm.data.sources.folder``)."""

    path: str = MISSING
    transcripts: list[str] = field(default_factory=list)
    """Lists of recordings, relative to ``path``; none means to look for them there."""
    layout: str | None = None
    """One of ``speechlm.data.layouts``; none means to recognise it."""
    language: str | None = None


@dataclass
class LhotseConfig(CorpusConfig):
    """A corpus that a Lhotse recipe knows (see ``speechlm.data.sources.lhotse_recipe``)."""

    recipe: str = MISSING
    path: str = MISSING
    download: bool = False
    """Let the recipe download the corpus into ``path`` first."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of the recipe's ``prepare_`` and ``download_`` functions."""
    language: str | None = None


@dataclass
class KokoroConfig(CorpusConfig):
    """Synthetic speech (see ``speechlm.data.sources.kokoro``)."""

    voices: list[str] = MISSING
    utterances: int = 4000
    verses: float = 0.5
    """Share of verses of the World English Bible; the rest are sentences that are made up."""
    sentences: list[str] = field(default_factory=lambda: list(SENTENCES))
    """Kinds of those that are made up (see ``speechlm.data.sentences``)."""
    longest: int = 120
    """Characters of a verse, at most."""
    seed: int = 0
    package_cache: str = "data/packages"


@dataclass
class HibariConfig(CorpusConfig):
    """Synthetic speech of texts (see ``speechlm.data.sources.hibari``)."""

    texts: list[str] = MISSING
    """Text files, plain or .xz."""
    utterances: int = 20000
    """At most; fewer where the texts have fewer sentences."""
    min_words: int = 3
    max_words: int = 25
    synthetic_prob: float = 0.1
    """Share of sentences that are made up of ``sentences``."""
    sentences: list[str] = field(default_factory=lambda: list(SENTENCES))
    """Kinds of those (see ``speechlm.data.sentences``)."""
    speed: list[float] = field(default_factory=lambda: [0.85, 1.15])
    seed: int = 0


KINDS: dict[str, type[CorpusConfig]] = {
    "asterisk": VoicesConfig,
    "festvox": DebianConfig,
    "fillets": VoicesConfig,
    "tuxpaint": VoicesConfig,
    "amazon-queen": DebianConfig,
    "folder": FolderConfig,
    "lhotse": LhotseConfig,
    "kokoro": KokoroConfig,
    "hibari": HibariConfig,
}


def load(path: str | Path, overrides: list[str]) -> CorpusConfig:
    """Read a corpus declaration and apply dotted overrides (``split.dev=0.1``).

    Raises:
        SpeechLMError: naming the file and the key that is wrong.
    """
    declared = load_yaml(path, overrides)
    if declared.get("kind") not in KINDS:
        raise SpeechLMError(f"{path}: needs kind: one of {', '.join(KINDS)}")
    config = to_dataclass(KINDS[declared.kind], declared, path)
    split = config.split
    if split.by not in ("speaker", "utterance"):
        raise SpeechLMError(f"{path}: split.by={split.by} must be speaker or utterance")
    if min(split.dev, split.test) < 0 or split.dev + split.test > 1:
        raise SpeechLMError(f"{path}: split.dev and split.test must be shares, together 1 or less")
    return config
