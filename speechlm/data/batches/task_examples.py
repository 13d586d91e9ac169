"""Examples of tasks, drawn from tokenized corpora and texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechlm.data.batches.task_utterances import TokenizedUtterance, Utterances
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.lm.tasks import Example, Span, Task, TokenLayout, TokenSequence
from speechlm.tokenizers.base import Units

Run = tuple[list[int], np.ndarray]
"""Pieces of what is said, and its codes (codebooks, frames)."""

VOICE_SECONDS = 3.0
"""Of an utterance that is given as a voice, at most: its beginning."""
RUN = 5
"""Segments in a row that are all spoken or all written, at most, where they are interleaved."""
JOINED = 4
"""Utterances without segments that are interleaved with each other, at most."""
SHORTEST = 0.08
"""Seconds of a word that is read aloud by itself; a shorter one is read with the next."""


def open_corpora(folders: Sequence[str | Path], num_codebooks: int) -> tuple[list[Tokens], Units]:
    """Tokenized corpora, and the units that a model is to learn: their first ``num_codebooks``
    levels.

    Beside corpora of stacked units there may be some of their codec's: level 0 is unknown there.

    Raises:
        SpeechLMError: when there is none, one is not a tokenized corpus, has fewer levels, or they
            do not hold the same units.
    """
    opened = [Tokens(folder) for folder in folders]
    if not opened:
        raise SpeechLMError("no tokenized corpora are named; make some with speechlm tokenize")
    first = next((tokens for tokens in opened if tokens.units.codec), opened[0])
    wanted = replace(first.units, num_codebooks=num_codebooks)
    for tokens in opened:
        sound = wanted.codec is not None and tokens.units.codec is None
        of, number = (wanted.sound, num_codebooks - 1) if sound else (wanted, num_codebooks)
        if not 1 <= number <= tokens.units.num_codebooks:
            raise SpeechLMError(
                f"{tokens.folder}: has {tokens.units.num_codebooks} levels, not {number}"
            )
        if replace(tokens.units, num_codebooks=number) != of:
            raise SpeechLMError(
                f"{first.folder} holds {first.units}, and {tokens.folder} {tokens.units}: a model "
                "learns the units of one codec; tokenize one of them again"
            )
    return opened, wanted


class Examples:
    """The examples of a task.

    What does not fit into ``length`` columns is left out, and counted by ``skipped``; but speech
    alone is cropped, and interleaved segments end where the room does. An utterance is as likely
    as any other, and one that is cropped in proportion to its length, so that every second is.

    Args:
        corpora: only the utterances of these folders, if any.
        languages: only those in these, if any.
        lines: further texts, for a task of text alone.

    Attributes:
        heard: which of the utterances are examples; after them come the further texts.

    Raises:
        SpeechLMError: when nothing is left.
    """

    def __init__(
        self,
        task: Task,
        layout: TokenLayout,
        utterances: Utterances,
        length: int,
        corpora: Sequence[str] = (),
        languages: Sequence[str] = (),
        lines: Sequence[str] = (),
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
        heard = np.flatnonzero(self._chosen(corpora, languages) & self._usable())
        written = []
        if task.fields == {"text"}:
            written = [pieces for line in lines if (pieces := utterances.text.encode(line))]
        self.heard = heard[self._fits(utterances.rows[heard])].astype(np.uint32)
        self.written = [
            pieces for pieces in written if layout.columns(task, text=len(pieces)) <= length
        ]
        self.skipped = len(heard) + len(written) - len(self)
        if not len(self):
            raise SpeechLMError(
                f"no example for the task {task.name}: it needs {', '.join(sorted(task.fields))} "
                f"in at most {length} columns ({self.skipped} are longer)"
            )
        windows = np.ones(len(self))
        if self.alone:
            frames = utterances.rows["frames"][self.heard]
            windows[: len(frames)] = np.maximum(frames / self.longest, 1.0)
        ends = windows.cumsum()
        self._ends = ends / ends[-1]

    def __len__(self) -> int:
        return len(self.heard) + len(self.written)

    def draw(self, random: np.random.Generator) -> TokenSequence:
        """A random example."""
        return self.sequence(int(np.searchsorted(self._ends, random.random())), random)

    def sequence(self, index: int, random: np.random.Generator) -> TokenSequence:
        """Example ``index``; what is free in it is drawn."""
        if index >= len(self.heard):
            text = self.written[index - len(self.heard)]
            return self.layout.sequence(self.task, Example(text=text))
        place = int(self.heard[index])
        one = self.utterances[place]
        if "spans" in self.task.fields:
            return self._interleaved(place, one, random)
        spans = self._words(one) if "words" in self.task.fields else ()
        codes, whole = one.codes, True
        if self.alone and one.entry.frames > self.longest:
            # The end is seen when the crop happens to reach it.
            start = int(random.integers(0, one.entry.frames - self.longest + 1))
            codes = codes[:, start : start + self.longest]
            whole = start + self.longest == one.entry.frames
        voice = None
        if "voice" in self.task.fields:
            other = self.utterances[self.utterances.other(place, random)]
            voice = other.codes[:, : self.voice]
        return self.layout.sequence(self.task, Example(codes, one.pieces, voice, spans, whole))

    def _chosen(self, corpora: Sequence[str], languages: Sequence[str]) -> NDArray[np.bool_]:
        """Which utterances are of these corpora and in these languages."""
        known, rows = self.utterances, self.utterances.rows
        chosen = np.ones(len(rows), np.bool_)
        if corpora:
            named = [n for n, each in enumerate(known.corpora) if str(each.folder) in corpora]
            chosen &= np.isin(rows["corpus"], named)
        if languages:
            spoken = [known.languages[name] for name in languages if name in known.languages]
            chosen &= np.isin(rows["language"], spoken)
        return chosen

    def _usable(self) -> NDArray[np.bool_]:
        """Which utterances have what the task needs."""
        needs, rows = self.task.fields, self.utterances.rows
        usable = np.ones(len(rows), np.bool_)
        if needs & {"voice", "spans"}:
            usable &= self.utterances.number_of_same() > 1
        if "spans" in needs:
            usable |= rows["segments"]
        if "words" in needs:
            usable &= rows["segments"]
        if needs & {"text", "spans"}:
            usable &= rows["pieces"] > 0
        return usable

    def _fits(self, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which of these utterances fit into the length."""
        if self.alone:
            return np.ones(len(rows), np.bool_)
        layout, frames, place = self.layout, *np.unique(rows["frames"], return_inverse=True)
        if "spans" in self.task.fields:
            # Whichever of it is spoken, and the rest does not matter.
            columns, piece = [layout.pattern.columns(each) + 4 for each in frames.tolist()], 1
        else:
            columns = [layout.columns(self.task, each, 0, self.voice) for each in frames.tolist()]
            piece = layout.columns(self.task, 0, 1) - layout.columns(self.task)
        found = np.array(columns, np.int64)[place] + piece * rows["pieces"].astype(np.int64)
        return found <= self.length

    def _interleaved(
        self, place: int, one: TokenizedUtterance, random: np.random.Generator
    ) -> TokenSequence:
        """Segments spoken and written in turn, as many as fit; the first kind is drawn.

        An utterance without segments is one, and others of the speaker are further ones.
        """
        runs = (
            self._runs(one, random) if len(one.entry.segments) > 1 else self._joined(place, random)
        )
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

    def _words(self, one: TokenizedUtterance) -> tuple[Span, ...]:
        """The segments, each written and then spoken; a pause belongs to what comes after it."""
        shortest = round(SHORTEST * self.layout.vocabulary.units.frame_rate)
        segments = one.entry.segments
        last = max(one.entry.frames - shortest, 1)
        starts = [0, *(min(segment.start, last) for segment in segments[1:])]
        spans: list[Span] = []
        text, start = "", 0
        for segment, stop in zip(segments, [*starts[1:], one.entry.frames], strict=True):
            text = f"{text} {segment.text}".strip()
            if stop - start >= shortest or stop == one.entry.frames:
                spans.append(Span("text", self.utterances.text.encode(text)))
                spans.append(Span("speech", one.codes[:, start:stop]))
                text, start = "", stop
        return tuple(spans)

    def _runs(self, one: TokenizedUtterance, random: np.random.Generator) -> Iterator[Run]:
        """The segments of an utterance, a few at a time."""
        left = list(one.entry.segments)
        while left:
            number = int(random.integers(1, RUN + 1))
            run, left = left[:number], left[number:]
            text = " ".join(segment.text for segment in run)
            yield self.utterances.text.encode(text), one.codes[:, run[0].start : run[-1].stop]

    def _joined(self, place: int, random: np.random.Generator) -> Iterator[Run]:
        """An utterance, and others of its speaker."""
        drawn = random.permutation(self.utterances.same(place))
        others = drawn[(drawn != place) & (self.utterances.rows["pieces"][drawn] > 0)]
        for each in [place, *others[: JOINED - 1].tolist()]:
            utterance = self.utterances[each]
            yield utterance.pieces, utterance.codes
