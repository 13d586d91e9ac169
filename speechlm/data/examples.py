"""Examples of tasks, drawn from tokenized corpora and texts."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from speechlm.data.tokens import Entry, Tokens
from speechlm.errors import SpeechLMError
from speechlm.lm.tasks import Example, Layout, Sequence, Span, Task
from speechlm.units.base import Units
from speechlm.units.text import TextTokenizer

Run = tuple[list[int], np.ndarray]
"""Pieces of what is said, and its codes (levels, frames)."""

VOICE_SECONDS = 3.0
"""Of an utterance that is given as a voice, at most: its beginning."""
RUN = 5
"""Segments in a row that are all spoken or all written, at most, where they are interleaved."""
JOINED = 4
"""Utterances without segments that are interleaved with each other, at most."""


def open_corpora(folders: Many[str | Path], levels: int) -> tuple[list[Tokens], Units]:
    """Tokenized corpora, and the units that a model is to learn: their first ``levels`` levels.

    Raises:
        SpeechLMError: when there is none, one is not a tokenized corpus, has fewer levels, or they
            do not hold the same units.
    """
    opened = [Tokens(folder) for folder in folders]
    if not opened:
        raise SpeechLMError("no tokenized corpora are named; make some with speechlm tokenize")
    first = opened[0]
    for tokens in opened:
        if not 1 <= levels <= tokens.units.levels:
            raise SpeechLMError(f"{tokens.folder}: has {tokens.units.levels} levels, not {levels}")
        if replace(tokens.units, levels=levels) != replace(first.units, levels=levels):
            raise SpeechLMError(
                f"{first.folder} holds {first.units}, and {tokens.folder} {tokens.units}: a model "
                "learns the units of one codec; tokenize one of them again"
            )
    return opened, replace(first.units, levels=levels)


@dataclass(frozen=True)
class Utterance:
    """An utterance, its first levels' codes (levels, frames) and its pieces of text, maybe none."""

    tokens: Tokens
    entry: Entry
    levels: int
    pieces: list[int]

    @property
    def codes(self) -> np.ndarray:
        return self.tokens.codes(self.entry)[: self.levels]

    @property
    def frames(self) -> int:
        return self.entry.frames


class Utterances:
    """The utterances of a split of corpora, and who else's they are."""

    def __init__(self, corpora: Many[Tokens], split: str, levels: int, text: TextTokenizer):
        self.text = text
        self.all = [
            Utterance(tokens, entry, levels, text.encode(entry.text or ""))
            for tokens in corpora
            for entry in tokens.entries
            if entry.split == split and entry.frames
        ]
        self.speakers: dict[tuple[Path, str], list[Utterance]] = {}
        for one in self.all:
            if one.entry.speaker is not None:
                key = (one.tokens.folder, one.entry.speaker)
                self.speakers.setdefault(key, []).append(one)

    def same(self, one: Utterance) -> list[Utterance]:
        """The utterances of the speaker of one, itself among them; none if nobody knows who."""
        return self.speakers.get((one.tokens.folder, one.entry.speaker or ""), [])

    def other(self, one: Utterance, random: np.random.Generator) -> Utterance:
        """Another utterance of the speaker of one, who has two or more."""
        same = self.same(one)
        drawn = same[int(random.integers(len(same) - 1))]
        return same[-1] if drawn is one else drawn


class Examples:
    """The examples of a task.

    What does not fit into ``length`` columns is left out, and counted by ``skipped``; but speech
    alone is cropped, and interleaved segments end where the room does. An utterance is as likely
    as any other, and one that is cropped in proportion to its length, so that every second is.

    Args:
        languages: only these, if any.
        lines: further texts, for a task of text alone.

    Raises:
        SpeechLMError: when nothing is left.
    """

    def __init__(
        self,
        task: Task,
        layout: Layout,
        utterances: Utterances,
        length: int,
        languages: Many[str] = (),
        lines: Many[str] = (),
    ):
        self.task = task
        self.layout = layout
        self.utterances = utterances
        self.length = length
        self.alone = task.fields == {"speech"}
        self.voice = round(VOICE_SECONDS * layout.vocabulary.units.frame_rate)
        fits = (f for f in range(length, 0, -1) if layout.columns(task, f) <= length)
        self.longest = next(fits, 1)
        """Frames of speech alone that fit."""
        heard = [
            one
            for one in utterances.all
            if (not languages or one.entry.language in languages) and self._usable(one)
        ]
        written = []
        if task.fields == {"text"}:
            written = [pieces for line in lines if (pieces := utterances.text.encode(line))]
        candidates: list[Utterance | list[int]] = [*heard, *written]
        self.items = [one for one in candidates if self._fits(one)]
        self.skipped = len(candidates) - len(self.items)
        if not self.items:
            raise SpeechLMError(
                f"no example for the task {task.name}: it needs {', '.join(sorted(task.fields))} "
                f"in at most {length} columns ({self.skipped} are longer)"
            )
        ends = np.cumsum([self._windows(one) for one in self.items])
        self._ends = ends / ends[-1]

    def draw(self, random: np.random.Generator) -> Sequence:
        """A random example."""
        return self.sequence(int(np.searchsorted(self._ends, random.random())), random)

    def sequence(self, index: int, random: np.random.Generator) -> Sequence:
        """Example ``index``; what is free in it is drawn."""
        item = self.items[index]
        if isinstance(item, list):
            return self.layout.sequence(self.task, Example(text=item))
        if "spans" in self.task.fields:
            return self._interleaved(item, random)
        codes, whole = item.codes, True
        if self._cropped(item):
            # The end is seen when the crop happens to reach it.
            start = int(random.integers(0, item.frames - self.longest + 1))
            codes = codes[:, start : start + self.longest]
            whole = start + self.longest == item.frames
        voice = None
        if "voice" in self.task.fields:
            voice = self.utterances.other(item, random).codes[:, : self.voice]
        return self.layout.sequence(self.task, Example(codes, item.pieces, voice, (), whole))

    def _usable(self, one: Utterance) -> bool:
        needs = self.task.fields
        if needs & {"text", "spans"} and not one.pieces:
            return False
        if "spans" in needs and one.entry.segments:
            return True
        return not needs & {"voice", "spans"} or len(self.utterances.same(one)) > 1

    def _fits(self, one: Utterance | list[int]) -> bool:
        if isinstance(one, list):
            return self.layout.columns(self.task, text=len(one)) <= self.length
        if self.alone:
            return True
        columns = self.layout.columns(self.task, one.frames, len(one.pieces), self.voice)
        if "spans" in self.task.fields:
            # Whichever of it is spoken, and the rest does not matter.
            columns = self.layout.pattern.columns(one.frames) + len(one.pieces) + 4
        return columns <= self.length

    def _cropped(self, one: Utterance | list[int]) -> bool:
        return self.alone and isinstance(one, Utterance) and one.frames > self.longest

    def _windows(self, one: Utterance | list[int]) -> float:
        if isinstance(one, Utterance) and self._cropped(one):
            return one.frames / self.longest
        return 1.0

    def _interleaved(self, one: Utterance, random: np.random.Generator) -> Sequence:
        """Segments spoken and written in turn, as many as fit; the first kind is drawn.

        An utterance without segments is one, and others of the speaker are further ones.
        """
        runs = self._runs(one, random) if one.entry.segments else self._joined(one, random)
        spoken = bool(random.integers(2))
        spans: list[Span] = []
        sequence = self.layout.sequence(self.task, Example())
        for pieces, codes in runs:
            spans.append(Span("speech", codes) if spoken else Span("text", pieces))
            spoken = not spoken
            longer = self.layout.sequence(self.task, Example(spans=tuple(spans)))
            if longer.tokens.shape[1] > self.length:
                break
            sequence = longer
        return sequence

    def _runs(self, one: Utterance, random: np.random.Generator) -> Iterator[Run]:
        """The segments of an utterance, a few at a time."""
        left = list(one.entry.segments)
        while left:
            number = int(random.integers(1, RUN + 1))
            run, left = left[:number], left[number:]
            text = " ".join(segment.text for segment in run)
            yield self.utterances.text.encode(text), one.codes[:, run[0].start : run[-1].stop]

    def _joined(self, one: Utterance, random: np.random.Generator) -> Iterator[Run]:
        """An utterance, and others of its speaker."""
        same = self.utterances.same(one)
        drawn = [same[index] for index in random.permutation(len(same))]
        others = [other for other in drawn if other is not one and other.pieces]
        for each in [one, *others[: JOINED - 1]]:
            yield each.pieces, each.codes
