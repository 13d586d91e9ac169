"""How probable a text is, whatever its words: n-grams that spell the words they do not know.

A judge of generated speech (the ASR-perplexity of GSLM, Lakhotia et al. 2021) that needs no large
model: it learns texts, and is told what a recogniser heard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError
from speechlm.text.kneser_ney import KneserNey
from speechlm.types import Floats, Ints

WORDS, LETTERS = 3, 6
"""Orders of the n-grams."""


class WordModel:
    """Interpolated Kneser-Ney n-grams of the words of ``texts``, in lines.

    A word that comes once is no word of its own but ``unknown``, which the model then spells, by
    n-grams of the letters of such words. So every text has a probability, and a rare word costs
    what its spelling does. Letters that no such word has are all one letter.

    Raises:
        SpeechLMError: when there is no word.
    """

    def __init__(self, texts: Iterable[str]):
        lines = [words for text in texts if (words := text.split())]
        counts = Counter(word for line in lines for word in line)
        if not counts:
            raise SpeechLMError("no text to learn words from")
        self.ids = {word: number for number, word in enumerate(w for w in counts if counts[w] > 1)}
        self.unknown = len(self.ids)
        self._words = _learn([self._numbers(line) for line in lines], self.unknown + 1, WORDS)
        rare = [word for word in counts if word not in self.ids] or list(counts)
        self._letters = {each: number for number, each in enumerate(sorted(set("".join(rare))))}
        self._spelling = _learn(
            [self._spelled(word) for word in rare], len(self._letters) + 2, LETTERS
        )

    def bits(self, words: Sequence[str]) -> float:
        """Bits of ``words``, from the beginning of a line; that they end is no part of it."""
        if not words:
            return 0.0
        found = _bits(self._words, self._numbers(words)).sum()
        spelled = [_bits(self._spelling, self._spelled(w)) for w in words if w not in self.ids]
        return float(found + sum(each.sum() for each in spelled))

    def _numbers(self, words: Sequence[str]) -> Ints:
        return np.array([self.ids.get(word, self.unknown) for word in words], np.int64)

    def _spelled(self, word: str) -> Ints:
        """Its letters, and an end."""
        other = len(self._letters)
        found = [self._letters.get(letter, other) for letter in word]
        return np.array([*found, other + 1], np.int64)


def _learn(lines: Sequence[Ints], size: int, order: int) -> KneserNey:
    contexts = np.concatenate([_contexts(line, size, order) for line in lines])
    return KneserNey(np.concatenate(lines), contexts, size)


def _bits(model: KneserNey, line: Ints) -> Floats:
    found: Floats = -np.log2(model.probability(line, _contexts(line, model.size, model.order)))
    return found


def _contexts(line: NDArray[np.integer], nothing: int, order: int) -> Ints:
    """What comes before each symbol (n, order - 1), the nearest first."""
    padded = np.concatenate([np.full(order - 1, nothing, np.int64), line])
    return np.stack([padded[order - 1 - back : -back] for back in range(1, order)], axis=1)
