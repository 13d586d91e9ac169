"""What a ``data/*.yaml`` may say, one dataclass a kind of corpus."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

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


KINDS: dict[str, type[CorpusConfig]] = {
    "asterisk": VoicesConfig,
    "festvox": DebianConfig,
    "fillets": VoicesConfig,
    "tuxpaint": VoicesConfig,
    "amazon-queen": DebianConfig,
    "folder": FolderConfig,
    "lhotse": LhotseConfig,
}


def load(path: str | Path, overrides: list[str]) -> CorpusConfig:
    """Read a corpus declaration and apply dotted overrides (``split.dev=0.1``).

    Raises:
        SpeechLMError: naming the file and the key, for an unreadable file, an unknown key, a value
            of the wrong type or a key that has no value yet.
    """
    path = Path(path)
    try:
        declared = OmegaConf.load(path)
        changes = OmegaConf.from_dotlist(overrides)
    except FileNotFoundError:
        raise SpeechLMError(f"{path}: no such file; data/README.md lists the corpora") from None
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise SpeechLMError(f"{path}: {_one_line(error)}") from None
    if not isinstance(declared, DictConfig) or declared.get("kind") not in KINDS:
        raise SpeechLMError(f"{path}: needs kind: one of {', '.join(KINDS)}")
    kind = KINDS[declared.kind]
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), declared, changes)
        config: Any = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        known = _keys(SplitConfig) if error.full_key.startswith("split.") else _keys(kind)
        raise SpeechLMError(f"{path}: unknown key {error.full_key}; known: {known}") from None
    except MissingMandatoryValue as error:
        key = error.full_key
        raise SpeechLMError(f"{path}: {key} has no value; add {key}=... to the command") from None
    except OmegaConfBaseException as error:
        raise SpeechLMError(f"{path}: {error.full_key}: {_one_line(error)}") from None
    _check(path, config)
    return config


def _check(path: Path, config: CorpusConfig) -> None:
    split = config.split
    if split.by not in ("speaker", "utterance"):
        raise SpeechLMError(f"{path}: split.by={split.by} must be speaker or utterance")
    if min(split.dev, split.test) < 0 or split.dev + split.test > 1:
        raise SpeechLMError(f"{path}: split.dev and split.test must be shares that sum to 1 or less")


def _keys(kind: type) -> str:
    return ", ".join(f.name for f in fields(kind))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split("\n    full_key")[0].split())
