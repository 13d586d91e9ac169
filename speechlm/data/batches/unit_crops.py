"""Crops of recordings with their units, and prompts of who speaks: what vocoders train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlm.data.batches.audio_crops import read_samples
from speechlm.data.corpus import read_cuts
from speechlm.data.tokens import Entry, Tokens
from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class TokenizedRecording:
    """An utterance of a tokenized corpus, and its recording."""

    tokens: Tokens
    entry: Entry
    path: Path


class UnitBatch(NamedTuple):
    """Waves float32 (batch, frames * hop_length), units int64 (batch, codebooks, frames), prompts
    float32."""

    wave: NDArray[np.float32]
    units: NDArray[np.int64]
    prompt: NDArray[np.float32]


def utterances(corpora: Sequence[tuple[str, Tokens]], split: str) -> list[TokenizedRecording]:
    """The utterances of a split of prepared corpora, each with its tokens.

    Raises:
        SpeechLMError: when there is none, a folder is no prepared corpus, or its recordings have
            another sample rate than the units.
    """
    found = []
    for folder, tokens in corpora:
        paths = {}
        for cut in read_cuts([folder], split):
            path, rate = Path(cut.recording.sources[0].source), cut.recording.sampling_rate
            if rate != tokens.units.sample_rate:
                raise SpeechLMError(
                    f"{path}: {rate} Hz, but the units are of {tokens.units.sample_rate} Hz: "
                    f"speechlm prepare ... sample_rate={tokens.units.sample_rate}"
                )
            paths[cut.id] = path
        entries = (entry for entry in tokens.entries if entry.split == split)
        found += [
            TokenizedRecording(tokens, entry, paths[entry.id])
            for entry in entries
            if entry.id in paths
        ]
    if not found:
        raise SpeechLMError(f"data.corpora: no {split} recordings; name prepared corpora with some")
    return found


class UnitCrops:
    """Batches of crops of ``frames`` frames, a function of (seed, step).

    An utterance is drawn in proportion to its length; a shorter one is followed by silence, with
    its last unit. The prompt is ``prompt`` samples of another utterance of the speaker, or of the
    same where no other is known.
    """

    def __init__(
        self, items: list[TokenizedRecording], frames: int, prompt: int, batch: int, seed: int
    ):
        self.items, self.frames, self.prompt = items, frames, prompt
        self.batch, self.seed = batch, seed
        self.hop_length = items[0].tokens.units.hop_length
        lengths = np.array([max(item.entry.frames, 1) for item in items], np.float64)
        self.ends = np.cumsum(lengths) / lengths.sum()
        self.speakers: dict[tuple[Path, str | None], list[int]] = {}
        for index, item in enumerate(items):
            self.speakers.setdefault(_who(item), []).append(index)

    def __call__(self, step: int) -> UnitBatch:
        """The batch of a step."""
        random = np.random.default_rng((self.seed, step))
        rows = [self._row(random) for _ in range(self.batch)]
        return UnitBatch(*(np.stack(column) for column in zip(*rows, strict=True)))

    def prompts(self, speaker: str, most: int = 32) -> NDArray[np.float32]:
        """Prompts (n, samples) of a speaker: the beginnings of the longest utterances.

        Raises:
            SpeechLMError: when nobody is called so.
        """
        mine = [item for item in self.items if item.entry.speaker == speaker]
        if not mine:
            raise SpeechLMError(f"data.corpora: nothing is said by a speaker {speaker}")
        mine.sort(key=lambda item: (-item.entry.frames, item.entry.id))
        return np.stack([_cut(_samples(item.path), 0, self.prompt) for item in mine[:most]])

    def _row(self, random: np.random.Generator) -> tuple[NDArray, NDArray, NDArray]:
        index = int(np.searchsorted(self.ends, random.random()))
        item = self.items[index]
        codes = item.tokens.codes(item.entry).astype(np.int64)
        start = int(random.integers(0, max(codes.shape[1] - self.frames, 0) + 1))
        codes = codes[:, start : start + self.frames]
        units = np.pad(codes, ((0, 0), (0, self.frames - codes.shape[1])), "edge")
        wave = _cut(_samples(item.path), start * self.hop_length, self.frames * self.hop_length)
        mine = self.speakers[_who(item)] if item.entry.speaker is not None else [index]
        others = [each for each in mine if each != index] or mine
        voice = _samples(self.items[others[int(random.integers(len(others)))]].path)
        at = int(random.integers(0, max(len(voice) - self.prompt, 0) + 1))
        return wave, units, _cut(voice, at, self.prompt)


def _who(item: TokenizedRecording) -> tuple[Path, str | None]:
    return item.tokens.folder, item.entry.speaker


def _cut(samples: NDArray[np.int16], start: int, length: int) -> NDArray[np.float32]:
    cut = samples[start : start + length].astype(np.float32) / 32768
    return np.pad(cut, (0, length - len(cut)))


@lru_cache(maxsize=20_000)
def _samples(path: Path) -> NDArray[np.int16]:
    """The samples of a recording, which stay in memory."""
    return read_samples(path, 0, -1)
