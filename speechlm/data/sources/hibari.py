"""Synthetic English in volume: sentences of text files by hibari-tts (Apache-2.0).

Its one voice is distilled from Kokoro's af_heart; an hour of speech takes about half a CPU minute.
No human speech: it is for what is said, not for how people sound.
"""

from __future__ import annotations

import lzma
import re
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from speechlm.data.config import HibariConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.sentences import KINDS, sentence
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.text.normalize import normalize
from speechlm.text.sentences import split_sentences

SPEAKER = "hibari-heart"
RATE = 24000


def source(config: HibariConfig) -> CorpusSource:
    """Sentences of the texts, without repetition and in random order; each spoken when asked for.

    Raises:
        SpeechLMError: when a text cannot be read, or there are no sentences of these lengths.
    """
    if not set(config.sentences) <= set(KINDS):
        raise SpeechLMError(f"hibari: sentences must be some of {', '.join(KINDS)}")
    found = sorted({each for path in config.texts for each in _sentences(Path(path), config)})
    if not found:
        raise SpeechLMError(
            f"hibari: no sentence of {config.min_words} to {config.max_words} words in the texts"
        )
    order = np.random.default_rng(config.seed).permutation(len(found))
    low, high = config.speed
    utterances: list[Utterance] = []
    for number in range(config.utterances):
        random = np.random.default_rng((config.seed, number))
        text = found[order[number % len(found)]]
        if config.sentences and random.random() < config.synthetic_prob:
            text = sentence(number, config.seed, config.sentences)
        elif number >= len(found):
            break
        speed = float(random.uniform(low, high))
        utterances.append(
            Utterance(
                id=f"hibari-{number:06d}",
                load=partial(_speak, text, round(speed, 3), number),
                speaker=SPEAKER,
                language="en",
                text=text,
            )
        )
    return CorpusSource(
        utterances, {"hibari-tts": _version(), "texts": ", ".join(map(str, config.texts))}
    )


def _sentences(path: Path, config: HibariConfig) -> list[str]:
    """Sentences in words and punctuation, of the lengths asked for, that can be read as a whole."""
    try:
        content = path.read_bytes()
        if path.suffix == ".xz":
            content = lzma.decompress(content)
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise SpeechLMError(f"{path}: cannot be read as text: {error}") from None
    found = []
    for line in lines:
        for each in split_sentences(line):
            read = normalize(re.sub(r"\s+", " ", each))
            words = len(read.text.split())
            if not read.unreadable and config.min_words <= words <= config.max_words:
                found.append(read.text)
    return found


def _speak(text: str, speed: float, seed: int) -> tuple[np.ndarray, int]:
    return np.asarray(_hibari()(text, speed=speed, seed=seed), np.float32), RATE


@lru_cache(maxsize=1)
def _hibari() -> Any:
    try:
        from hibari import Hibari
    except ImportError as error:
        raise SpeechLMError(
            f"hibari-tts cannot be imported ({error}); it is in the extra [synthetic]: "
            "make synthetic"
        ) from None
    return Hibari(threads=1)


def _version() -> str:
    _hibari()
    return version("hibari-tts")
