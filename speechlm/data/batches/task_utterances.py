"""The utterances that a language model trains on: some bytes of each in memory, the rest read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from speechlm.data.splits import SPLITS
from speechlm.data.tokens import Entry, Tokens
from speechlm.lm.patterns import prepend_unknown_codebooks
from speechlm.tokenizers.text import TextTokenizer

ROW = np.dtype(
    [
        ("corpus", np.uint16),
        ("entry", np.uint32),
        ("frames", np.uint32),
        ("pieces", np.uint32),
        ("segments", np.bool_),
        ("speaker", np.int32),
        ("language", np.int32),
    ]
)
NOBODY = -1
"""The number of a speaker or language that is not known."""


@dataclass(frozen=True)
class TokenizedUtterance:
    """An utterance, its first levels' codes (codebooks, frames) and its pieces of text, maybe none.

    Where its corpus has no level 0 of stacked units, that is -1.
    """

    tokens: Tokens
    entry: Entry
    num_codebooks: int
    pieces: list[int]
    planned: bool = False
    """Whether the units are stacked."""

    @property
    def codes(self) -> np.ndarray:
        codes = self.tokens.codes(self.entry)
        if self.planned and self.tokens.units.codec is None:
            return prepend_unknown_codebooks(codes[: self.num_codebooks - 1])
        return codes[: self.num_codebooks]


class Utterances(Sequence[TokenizedUtterance]):
    """The utterances of a split of corpora, each read when asked for, and who else's they are.

    Attributes:
        rows: what is kept in memory of each: its corpus and place there, frames, pieces of text,
            whether it has segments, and the numbers of its speaker and language.
        languages: their numbers.
    """

    def __init__(
        self, corpora: Sequence[Tokens], split: str, num_codebooks: int, text: TextTokenizer
    ):
        self.corpora, self.num_codebooks, self.text = corpora, num_codebooks, text
        self.planned = any(tokens.units.codec for tokens in corpora)
        self.languages: dict[str, int] = {}
        self.rows = np.fromiter(self._known(split), ROW)
        self._by_speaker = self.rows["speaker"].argsort(kind="stable")
        speakers = self.rows["speaker"][self._by_speaker]
        everyone = np.arange(speakers[-1] + 2 if len(speakers) else 1)
        self._starts = np.searchsorted(speakers, everyone)

    def _known(self, split: str) -> Iterator[tuple[int | bool, ...]]:
        speakers: dict[tuple[Path, str], int] = {}
        for number, tokens in enumerate(self.corpora):
            found = tokens.entries.rows
            inside = (found["split"] == SPLITS.index(split)) & (found["frames"] > 0)
            for place in np.flatnonzero(inside).tolist():
                entry = tokens.entries[place]
                speaker = language = NOBODY
                if entry.speaker is not None:
                    speaker = speakers.setdefault((tokens.folder, entry.speaker), len(speakers))
                if entry.language is not None:
                    language = self.languages.setdefault(entry.language, len(self.languages))
                pieces = len(self.text.encode(entry.text or ""))
                segments = bool(entry.segments)
                yield number, place, entry.frames, pieces, segments, speaker, language

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> TokenizedUtterance: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedUtterance]: ...
    def __getitem__(self, index: int | slice) -> TokenizedUtterance | list[TokenizedUtterance]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        row = self.rows[index]
        tokens = self.corpora[int(row["corpus"])]
        entry = tokens.entries[int(row["entry"])]
        pieces = self.text.encode(entry.text or "")
        return TokenizedUtterance(tokens, entry, self.num_codebooks, pieces, self.planned)

    def number_of_same(self) -> NDArray[np.intp]:
        """For each utterance, how many there are of its speaker; 0 if nobody knows who."""
        numbers = np.append(np.diff(self._starts), 0)
        return numbers[self.rows["speaker"]]

    def same(self, index: int) -> NDArray[np.intp]:
        """The utterances of the speaker of one, itself among them; none if nobody knows who."""
        speaker = int(self.rows["speaker"][index])
        if speaker == NOBODY:
            return np.zeros(0, np.intp)
        return self._by_speaker[self._starts[speaker] : self._starts[speaker + 1]]

    def other(self, index: int, random: np.random.Generator) -> int:
        """Another utterance of the speaker of one, who has two or more."""
        same = self.same(index)
        drawn = int(same[int(random.integers(len(same) - 1))])
        return int(same[-1]) if drawn == index else drawn
