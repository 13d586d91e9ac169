"""The tasks of the language model: which tokens an example becomes, and what to predict of them.

A format is special tokens and fields in braces, in order; everything after the bar is predicted.
Fields are ``{speech}`` and ``{text}`` (the utterance), ``{voice}`` (another utterance of the
speaker), ``{spans}`` (its segments, spoken and written in turn, each between a generate token and
its end) and ``{words}`` (its segments, each written, which is given, and then spoken). Formats
follow VoxtLM (Maiti et al. 2023); interleaving, Spirit LM (Nguyen et al. 2024); reading word by
word, ELLA-V (Song et al. 2024). A format never changes, since models were trained with it: a new
one gets a new name.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError
from speechlm.lm import vocabulary as names
from speechlm.lm.patterns import NO_TOKEN, Pattern
from speechlm.lm.vocabulary import Vocabulary
from speechlm.types import AnyCodes, Ids

FORMATS = {
    "speech": "<generate speech> | {speech} <end of speech>",
    "text": "<generate text> | {text} <end of text>",
    "asr": "<speech> {speech} <generate text> | {text} <end of text>",
    "tts": "<text> {text} <generate speech> | {speech} <end of speech>",
    "tts-voice": ("<speech> {voice} <text> {text} <generate speech> | {speech} <end of speech>"),
    "interleaved": "| {spans} <end>",
    "tts-wordwise": "<text> {text} <end of text> | {words}",
    "tts-wordwise-voice": "<speech> {voice} <text> {text} <end of text> | {words}",
}


class Span(NamedTuple):
    """A stretch of one kind: codes (codebooks, frames) if ``speech``, pieces if ``text``."""

    kind: Literal["speech", "text"]
    content: Any


@dataclass(frozen=True)
class Example:
    """What fields of a format are filled with; those that it does not name may be absent.

    ``speech`` and ``voice`` are codes (codebooks, frames), ``text`` is pieces. ``spans`` are those
    of ``{spans}`` in any order, and of ``{words}`` text and speech in turn.
    """

    speech: AnyCodes | None = None
    text: list[int] | None = None
    voice: AnyCodes | None = None
    spans: tuple[Span, ...] = ()
    complete: bool = True
    """Whether the speech ends with the example; a cropped one has no end to predict."""


class TokenSequence(NamedTuple):
    """Token ids int64 (rows, columns), and where they are to be predicted, bool (rows, columns)."""

    tokens: Ids
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """A format, ready for use."""

    name: str
    format: str

    @property
    def given(self) -> tuple[str, ...]:
        """Special tokens and fields before the bar."""
        return _parts(self.format.split("|")[0])

    @property
    def answer(self) -> tuple[str, ...]:
        """Those after it, which are predicted."""
        return _parts(self.format.split("|")[1])

    @property
    def fields(self) -> frozenset[str]:
        """Names of the fields that an example must have."""
        parts = self.given + self.answer
        return frozenset(part[1:-1] for part in parts if part.startswith("{"))


TASKS = {name: Task(name, text) for name, text in FORMATS.items()}


def task(name: str) -> Task:
    """A task by name.

    Raises:
        SpeechLMError: when there is none.
    """
    if name not in TASKS:
        raise SpeechLMError(f"a task is one of {', '.join(TASKS)}, not {name}")
    return TASKS[name]


def _parts(format: str) -> tuple[str, ...]:
    return tuple(re.findall(r"<[^>]*>|\{[a-z]+\}", format))


class TokenLayout:
    """Examples to token ids and back, for a vocabulary and a codebook pattern.

    Special tokens and text stand in row 0, with padding below. Speech is laid out by the pattern;
    its end stands in row 0 of the first column that has no code there.
    """

    def __init__(self, vocabulary: Vocabulary, pattern: Pattern):
        if pattern.num_codebooks != vocabulary.units.num_codebooks:
            raise ValueError(
                f"{pattern.num_codebooks} levels, but units of {vocabulary.units.num_codebooks}"
            )
        self.vocabulary = vocabulary
        self.pattern = pattern
        self.pad = vocabulary.id(names.PAD)

    def prompt(self, task: Task, example: Example) -> Ids:
        """The ids (rows, columns) of the given part."""
        return self._lay(_filled(task.given, example))

    def sequence(self, task: Task, example: Example) -> TokenSequence:
        """The ids of the given part and of the answer, and the mask of what is predicted.

        The first column is not predicted: nothing precedes it.
        """
        given = self.prompt(task, example)
        tokens = np.concatenate([given, self._lay(_filled(task.answer, example))], axis=1)
        mask = tokens != self.pad
        mask[:, : max(given.shape[1], 1)] = False
        if "words" in task.fields:  # the text is given, only its speech is predicted
            is_text = tokens[0] < self.vocabulary.level(0).start
            is_text &= tokens[0] != self.vocabulary.id(names.END_OF_SPEECH)
            spoken = (tokens >= self.vocabulary.level(0).start).any(axis=0)
            mask[:, is_text & ~spoken] = False
        return TokenSequence(tokens, mask)

    def word_prompt(self, pieces: list[int]) -> Ids:
        """Ids (rows, columns) that precede the speech of a word of ``{words}``."""
        return self._lay([Span("text", pieces), names.GENERATE_SPEECH])

    def columns(self, task: Task, speech: int = 0, text: int = 0, voice: int = 0) -> int:
        """Columns of the sequence of an example with so many frames and pieces, and no spans.

        Of words, at most: there may be as many as pieces.
        """
        stride = self.pattern.stride
        word = max(self.pattern.columns(1), self.pattern.end(1) + 1) - stride
        lengths = {
            "{speech}": max(self.pattern.columns(speech), self.pattern.end(speech) + 1)
            if names.END_OF_SPEECH in task.answer
            else self.pattern.columns(speech),
            "{text}": text,
            "{voice}": self.pattern.columns(voice),
            "{words}": stride * speech + text * (2 + word),
            names.END_OF_SPEECH: 0,
        }
        return sum(lengths.get(part, 1) for part in task.given + task.answer)

    def spans(self, tokens: Ids) -> list[Span]:
        """What tokens (rows, columns) say: the speech and text of :meth:`sequence`, in order.

        Special tokens part them. Speech ends before its first frame that is not whole, so tokens
        may stop anywhere.
        """
        spans: list[Span] = []
        spoken = (tokens >= self.vocabulary.level(0).start).any(axis=0)
        written = np.isin(tokens[0], self.vocabulary.text) & ~spoken
        kinds = np.where(spoken, 2, np.where(written, 1, 0))
        edges = np.flatnonzero(np.diff(kinds, prepend=-1, append=-1))
        for start, stop in itertools.pairwise(edges.tolist()):
            if kinds[start] == 1:
                pieces = self.vocabulary.to_pieces(tokens[0, start:stop])
                spans.append(Span("text", pieces))
            elif kinds[start] == 2 and (codes := self._codes(tokens[:, start:stop])).size:
                spans.append(Span("speech", codes))
        return spans

    def _lay(self, parts: list[str | Span]) -> Ids:
        columns = [np.zeros((self.pattern.rows, 0), np.int64)]
        for part, after in zip(parts, [*parts, ""][1:], strict=True):
            if isinstance(part, str):
                if part != names.END_OF_SPEECH:  # which stands with the speech before it
                    columns.append(self._text(np.array([self.vocabulary.id(part)])))
            elif part.kind == "text":
                columns.append(self._text(self.vocabulary.from_pieces(part.content)))
            else:
                columns.append(self._speech(part.content, after == names.END_OF_SPEECH))
        return np.concatenate(columns, axis=1)

    def _text(self, ids: Ids) -> Ids:
        laid = np.full((self.pattern.rows, len(ids)), self.pad, np.int64)
        laid[0] = ids
        return laid

    def _speech(self, codes: AnyCodes, ends: bool) -> Ids:
        laid = self.pattern.build(self.vocabulary.from_codes(codes))
        laid[laid == NO_TOKEN] = self.pad
        if ends:
            end = self.pattern.end(codes.shape[1])
            more = max(end + 1 - laid.shape[1], 0)
            laid = np.pad(laid, ((0, 0), (0, more)), constant_values=self.pad)
            laid[0, end] = self.vocabulary.id(names.END_OF_SPEECH)
        return laid

    def _codes(self, laid: Ids) -> AnyCodes:
        """Codes of the whole frames of a stretch of speech."""
        width = laid.shape[1]
        frames = next(f for f in range(width, -1, -1) if self.pattern.columns(f) <= width)
        spoken = np.where(laid >= self.vocabulary.level(0).start, laid, NO_TOKEN)
        ids = self.pattern.revert(spoken[:, : self.pattern.columns(frames)])
        codes = self.vocabulary.to_codes(ids)
        wrong = (codes < 0) | (codes >= self.vocabulary.units.codebook_size)
        broken = np.flatnonzero(wrong.any(axis=0))
        return codes[:, : broken[0]] if len(broken) else codes


def _filled(parts: tuple[str, ...], example: Example) -> list[str | Span]:
    """Special tokens and spans in order: ``parts`` with their fields filled."""
    filled: list[str | Span] = []
    for part in parts:
        match part:
            case "{speech}":
                filled.append(Span("speech", example.speech))
            case "{voice}":
                filled.append(Span("speech", example.voice))
            case "{text}":
                filled.append(Span("text", example.text))
            case "{spans}":
                for span in example.spans:
                    filled += [_OPEN[span.kind], span, _CLOSE[span.kind]]
            case "{words}":
                for span in example.spans:
                    filled += [span] if span.kind == "text" else _spoken(span)
            case names.END_OF_SPEECH if not example.complete:
                pass
            case _:
                filled.append(part)
    return filled


def _spoken(span: Span) -> list[str | Span]:
    return [names.GENERATE_SPEECH, span, names.END_OF_SPEECH]


_OPEN = {"speech": names.GENERATE_SPEECH, "text": names.GENERATE_TEXT}
_CLOSE = {"speech": names.END_OF_SPEECH, "text": names.END_OF_TEXT}
