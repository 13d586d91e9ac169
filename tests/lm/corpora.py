"""Tokenized corpora of made-up units, in which there is something to learn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlm.data.tokens import Segment, claim, shard_file
from speechlm.tokenizers.base import Units
from speechlm.tokenizers.text import TextTokenizer

WORDS = {"one": 0, "two": 1, "three": 2, "four": 3, "five": 4, "six": 5}
SPEAKERS = ("ann", "bob", "cat", "dan")
FRAMES = 5
"""Of a word."""


def write_shard(
    folder: Path,
    number: int,
    codes: Iterable[NDArray[np.integer]],
    lines: Iterable[dict[str, Any]],
    num_codebooks: int,
) -> None:
    """Write a shard of utterances whose codes (codebooks, frames) and lines are there."""
    with shard_file(folder, number, num_codebooks) as shard:
        for each in codes:
            shard.write(each)
        shard.lines += lines


def units(num_codebooks: int = 2, codebook_size: int = 16) -> Units:
    return Units("toy", "01234567", 16000, 320, num_codebooks, codebook_size)


def say(words: list[str], random: np.random.Generator, made: Units) -> np.ndarray:
    """Codes (codebooks, frames): level 0 counts up from the word, level 1 follows it, with
    noise."""
    level = np.concatenate([2 * WORDS[word] + np.arange(FRAMES) for word in words])
    codes = np.stack([(level * (1 + k)) % made.codebook_size for k in range(made.num_codebooks)])
    noisy = random.random(codes.shape) < 0.1
    return np.where(noisy, random.integers(0, made.codebook_size, codes.shape), codes)


def tokenized(
    folder: Path, utterances: int = 60, made: Units | None = None, aligned: bool = False
) -> Path:
    """Two shards; every sixth utterance is dev, in English for half of the speakers."""
    made = made or units()
    random = np.random.default_rng(0)
    claim(folder, made, "made up", 2)
    for shard in range(2):
        arrays, lines, first = [], [], 0
        for number in range(shard, utterances, 2):
            words = random.choice(list(WORDS), int(random.integers(2, 6))).tolist()
            codes = say(words, random, made)
            speaker = SPEAKERS[number % len(SPEAKERS)]
            line = {
                "id": f"u{number}",
                "split": "dev" if number % 6 >= 4 else "train",
                "first": first,
                "frames": codes.shape[1],
                "text": " ".join(words),
                "language": "en" if speaker in ("ann", "bob") else "nl",
                "speaker": speaker,
            }
            if aligned:
                line["segments"] = [
                    Segment(word, at * FRAMES, (at + 1) * FRAMES) for at, word in enumerate(words)
                ]
            arrays.append(codes)
            lines.append(line)
            first += codes.shape[1]
        write_shard(folder, shard, arrays, lines, made.num_codebooks)
    return folder


def text_model(folder: Path) -> Path:
    """A tokenizer of characters that saw these words."""
    TextTokenizer.train([" ".join(WORDS)], "char", 300).save(folder / "text.model")
    return folder / "text.model"
