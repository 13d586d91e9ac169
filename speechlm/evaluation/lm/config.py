"""What an ``eval/lm*.yaml`` may say. A part that is null, or not there, is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from omegaconf import DictConfig

from speechlm.config import to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.evaluation.config import (
    ClipsConfig,
    PageConfig,
    RecogniserConfig,
    check_page,
)
from speechlm.lm.generate.sampling import Sampling


@dataclass
class SamplingConfig:
    """How units are sampled; the defaults are those of ``speechlm continue``."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"attempts": "best_of"}

    temperature: float = 0.9
    top_k: int = 0
    top_p: float = 0.95
    guidance: float | None = None
    best_of: int | None = None
    seed: int = 0

    def sampling(self, number: int) -> Sampling:
        """For the prompt of this number, each of which has random numbers of its own."""
        return Sampling(
            self.temperature,
            self.top_k,
            self.top_p,
            guidance=self.guidance,
            best_of=self.best_of,
            seed=self.seed + number,
        )


@dataclass
class LikelihoodConfig:
    """Bits a second of units of speakers that training did not have, beside those of n-grams."""

    seeds: int = 3
    """Draws of the evaluation set."""
    utterances: int = 100
    """A draw."""


@dataclass
class DiscriminationConfig:
    """Is what really follows a prompt more probable than something else?"""

    pairs: int = 500
    prompt: float = 1.5
    seconds: float = 1.5
    """Of the prompt, and of what follows."""
    seed: int = 0


@dataclass
class ASRConfig:
    """Speech to text."""

    clips: ClipsConfig = field(default_factory=ClipsConfig)


@dataclass
class TTSConfig:
    """Text to speech: the sentences of recordings that no training text is, and made-up ones."""

    clips: ClipsConfig | None = None
    made_up: int = 0
    """So many sentences of :mod:`speechlm.data.sentences`, of which there is no recording."""
    seed: int = 20
    """Of those."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


@dataclass
class ContinuationConfig:
    """Continuations of the beginnings of recordings."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"least": "min_seconds"}

    clips: ClipsConfig = field(default_factory=ClipsConfig)
    prompt: float = 3.0
    seconds: float = 8.0
    """Of the prompt, and at most of what follows."""
    min_seconds: float = 0.0
    """Seconds before the model may end by itself."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


@dataclass
class SweepConfig:
    """Speech that goes on at several temperatures, and what each recogniser hears of it."""

    clips: ClipsConfig = field(default_factory=ClipsConfig)
    prompt: float = 3.0
    seconds: float = 8.0
    """Of the prompt, and at most of what follows."""
    temperatures: list[float] = field(default_factory=lambda: [0.5, 0.7, 0.9, 1.1, 1.3])
    """From the lowest to the highest."""
    texts: list[str] = field(default_factory=list)
    """Patterns of what n-grams of words learn: files with a text a line, tokenized corpora."""
    words: list[str] = field(default_factory=list)
    """Patterns of files with the words of the dictionary, a word a line."""
    seed: int = 0


@dataclass
class LMSuiteConfig:
    """A suite for one language model."""

    kind: str = "lm"
    title: str = "A language model"
    about: str = ""
    model: str | None = None
    """A folder or a hub id; none is the shipped one."""
    units: str | None = None
    """The tokenizer of its units; none is the default codec."""
    tokens: list[str] = field(default_factory=list)
    """Patterns of tokenized corpora, with these units. Their training splits are what n-grams
    learn, and what held-out texts are not among."""
    likelihood: LikelihoodConfig | None = None
    choice: DiscriminationConfig | None = None
    asr: ASRConfig | None = None
    tts: TTSConfig | None = None
    continuation: ContinuationConfig | None = None
    sweep: SweepConfig | None = None
    recognisers: dict[str, RecogniserConfig | None] = field(default_factory=dict)
    normaliser: str = "english"
    threads: int = 1
    page: PageConfig = field(default_factory=PageConfig)
    cache: str | None = None
    """Where recognisers' texts are kept between runs; none is the user's cache folder."""


PARTS: dict[str, tuple[str, ...]] = {
    "likelihood": ("seeds", "utterances"),
    "choice": ("pairs", "prompt", "seconds"),
    "asr": (),
    "tts": (),
    "continuation": ("prompt", "seconds"),
    "sweep": ("prompt", "seconds"),
}
"""What a suite may have, and what of it is above 0."""


def fill(declared: DictConfig, path: Path) -> LMSuiteConfig:
    """Read what the file ``path`` declares.

    Raises:
        SpeechLMError: naming the file and the key, for what makes no suite.
    """
    config = to_dataclass(LMSuiteConfig, declared, path)
    check_page(config.page, path)
    if all(getattr(config, part) is None for part in PARTS):
        raise SpeechLMError(f"{path}: no part to run; known: {', '.join(PARTS)}")
    for part, names in PARTS.items():
        declared_part = getattr(config, part)
        for name in names:
            if declared_part is not None and not (0 < getattr(declared_part, name) < math.inf):
                raise SpeechLMError(f"{path}: {part}.{name} is above 0 and finite")
    if config.tts is not None and config.tts.clips is None and config.tts.made_up < 1:
        raise SpeechLMError(f"{path}: tts has nothing to say: give tts.clips or tts.made_up")
    if config.sweep is not None:
        heat = config.sweep.temperatures
        if not heat or heat != sorted(set(heat)) or heat[0] < 0:
            raise SpeechLMError(f"{path}: sweep.temperatures are 0 or more, from low to high")
    return config
