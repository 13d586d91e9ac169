"""A language model of written English, for decoders that spell: words, and characters of others.

Words are predicted by a pruned trigram model. A word that it does not have is spelled by a model of
characters, learned from the words that it has. So any text has a probability, which the first
letters of a word foretell: of all words that begin with them (look-ahead, Ortmanns et al. 1997).
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechlm.errors import SpeechLMError
from speechlm.text.backoff import Backoff, Estimate, log_sum, pack, unpack
from speechlm.text.normalize import normalize
from speechlm.types import Floats
from speechlm.utils.files import atomic_path
from speechlm.utils.safetensors import sort_metadata

FILE = "text-lm.safetensors"
FORMAT = "text-lm 1"
UNKNOWN, BEGIN, END = 0, 1, 2
"""Symbols before the words."""
SPECIALS = 3
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
WORD = re.compile(r"[a-z']+")
ORDER, SPELLING = 3, 6
"""Words and characters of an n-gram."""
CHARACTERS = 0.12
"""Share of the file that the model of characters may take."""
VOCABULARY = 40_000
"""Words at most; symbols are numbers of two bytes."""


def words_of(text: str) -> list[str]:
    """The words of a text, as they are read: lower case, without punctuation."""
    if not text.isascii() or re.search(r"[^A-Za-z' .,?!;:\"-]|\b[A-Z][a-z]{0,3}\.", text):
        text = normalize(text).text
    return [word for part in WORD.findall(text.lower()) if (word := part.strip("'"))]


@dataclass(frozen=True)
class TextState:
    """Where a text is: the ``words`` before, the letters ``begun``, and what they cost so far.

    ``total`` is the log-probability of the whole words, ``now`` that with the look-ahead.
    """

    words: tuple[int, ...]
    begun: str
    total: float
    now: float
    count: int


class TextLM:
    """A language model of English text.

    Args:
        vocabulary: the words, sorted.
        words: n-grams of :data:`SPECIALS` symbols and the words.
        letters: n-grams of three symbols and :data:`LETTERS`, in words.
    """

    def __init__(self, vocabulary: list[str], words: Backoff, letters: Backoff):
        self.vocabulary, self._words, self._letters = vocabulary, words, letters
        self._past = words.order - 1
        single = [words.log_probability(SPECIALS + n, ()) for n in range(len(vocabulary))]
        self._reached = np.concatenate([[0.0], np.cumsum(np.exp(single))])
        self._unknown = words.log_probability(UNKNOWN, ())
        self._ranges: dict[str, tuple[int, int]] = {"": (0, len(vocabulary))}
        self._spelled: dict[str, float] = {"": 0.0}
        self._ahead: dict[str, float] = {"": 0.0}
        self._ends: dict[str, tuple[int, float]] = {}

    @property
    def ngrams(self) -> int:
        """Number of n-grams of words."""
        return sum(len(level["symbol"]) for level in self._words.levels)

    def begin(self) -> TextState:
        """The state of no text."""
        return TextState((BEGIN,), "", 0.0, 0.0, 0)

    def extend(self, state: TextState, text: str) -> TextState:
        """The state after more characters; those that are no letter or apostrophe end a word."""
        for letter in text.lower():
            if letter in LETTERS:
                begun = state.begun + letter
                now = state.total + self._foretold(begun)
                state = TextState(state.words, begun, state.total, now, state.count)
            elif state.begun:
                state = self._ended(state)
        return state

    def finish(self, state: TextState) -> TextState:
        """The state after the end of the text."""
        if state.begun:
            state = self._ended(state)
        total = state.total + self._words.log_probability(END, state.words)
        return TextState(state.words, "", total, total, state.count)

    def log_probability(self, text: str) -> float:
        """Of a text and its end, in nats."""
        return self.finish(self.extend(self.begin(), text)).total

    def _ended(self, state: TextState) -> TextState:
        symbol, spelling = self._end_of(state.begun)
        total = state.total + self._words.log_probability(symbol, state.words) + spelling
        words = (*state.words, symbol)[-self._past :]
        return TextState(words, "", total, total, state.count + 1)

    def _end_of(self, word: str) -> tuple[int, float]:
        """The symbol of a word, and the log-probability of its spelling if it is unknown."""
        found = self._ends.get(word)
        if found is None:
            bare = word.strip("'") or word
            at = bisect_left(self.vocabulary, bare)
            if at < len(self.vocabulary) and self.vocabulary[at] == bare:
                found = SPECIALS + at, 0.0
            else:
                context = self._letter_context(word)
                found = UNKNOWN, self._spelling(word) + self._letters.log_probability(END, context)
            self._ends[word] = found
        return found

    def _letter_context(self, begun: str) -> tuple[int, ...]:
        return (BEGIN, *(SPECIALS + LETTERS.index(letter) for letter in begun))

    def _spelling(self, begun: str) -> float:
        """Log-probability that an unknown word begins so."""
        found = self._spelled.get(begun)
        if found is None:
            symbol = SPECIALS + LETTERS.index(begun[-1])
            context = self._letter_context(begun[:-1])
            found = self._spelling(begun[:-1]) + self._letters.log_probability(symbol, context)
            self._spelled[begun] = found
        return found

    def _foretold(self, begun: str) -> float:
        """Log-probability of the words that begin so, known and unknown, after no context."""
        found = self._ahead.get(begun)
        if found is None:
            start, stop = self._range(begun)
            share = float(self._reached[stop] - self._reached[start])
            known = math.log(share) if share > 0 else -math.inf
            found = log_sum(known, self._unknown + self._spelling(begun))
            self._ahead[begun] = found
        return found

    def _range(self, begun: str) -> tuple[int, int]:
        """The words (first, behind the last) that begin so."""
        found = self._ranges.get(begun)
        if found is None:
            start, stop = self._range(begun[:-1])
            start = bisect_left(self.vocabulary, begun, start, stop)
            found = start, bisect_left(self.vocabulary, begun + "~", start, stop)
            self._ranges[begun] = found
        return found

    def save(self, path: str | Path, facts: Mapping[str, object] | None = None) -> int:
        """Write the model as safetensors, with ``facts`` in its metadata; returns its bytes."""
        from safetensors.numpy import save_file

        metadata = {name: json.dumps(value) for name, value in (facts or {}).items()}
        with atomic_path(Path(path)) as temporary:
            save_file(_arrays(self), temporary, metadata | {"format": FORMAT})
            sort_metadata(temporary)
            return temporary.stat().st_size

    @classmethod
    def load(cls, path: str | Path) -> TextLM:
        """Read a model file.

        Raises:
            SpeechLMError: when there is none, or it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                if (file.metadata() or {}).get("format") != FORMAT:
                    raise ValueError("not a text language model of this version")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            vocabulary = unpack(arrays["vocabulary"]).decode("ascii").split("\n")
            words = Backoff.from_arrays("words", arrays)
            letters = Backoff.from_arrays("letters", arrays)
            if words.size != SPECIALS + len(vocabulary) or letters.size != SPECIALS + len(LETTERS):
                raise ValueError("n-grams and vocabulary of different sizes")
        except FileNotFoundError:
            raise SpeechLMError(
                f"{path}: no such file; make one with speechlm text-lm TEXTS -o {path}"
            ) from None
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise SpeechLMError(f"{path}: not a text language model: {error}") from None
        return cls(vocabulary, words, letters)

    @classmethod
    def train(cls, texts: Iterable[str], size: int = 1_400_000, rare: int = 2) -> TextLM:
        """Estimate a model of texts, one a sentence, whose file has up to ``size`` bytes.

        Words that occur less than ``rare`` times are unknown to it, and what is less frequent than
        the 40,000 most frequent ones.

        Raises:
            SpeechLMError: when the texts have no words, or no model is as small.
        """
        sentences = [found for text in texts if (found := words_of(text))]
        counts = Counter(word for sentence in sentences for word in sentence)
        frequent = [w for w, n in counts.most_common(VOCABULARY) if n >= rare]
        vocabulary = sorted(frequent or counts)
        if not vocabulary:
            raise SpeechLMError("no text with English words to estimate a language model from")
        numbers = {word: SPECIALS + n for n, word in enumerate(vocabulary)}
        lines = [[numbers.get(word, UNKNOWN) for word in sentence] for sentence in sentences]
        words = _estimate(lines, SPECIALS + len(vocabulary), ORDER)
        spellings = [[SPECIALS + LETTERS.index(letter) for letter in word] for word in counts]
        letters = _fitting(
            _estimate(spellings, SPECIALS + len(LETTERS), SPELLING),
            lambda made: _bytes(made.arrays("letters")),
            int(size * CHARACTERS),
        )
        room = size - 4096 - _bytes(letters.arrays("letters") | _vocabulary(vocabulary))
        pruned = _fitting(words, lambda made: _bytes(made.arrays("words")), room)
        return cls(vocabulary, pruned, letters)


def _arrays(model: TextLM) -> dict[str, np.ndarray]:
    words, letters = model._words.arrays("words"), model._letters.arrays("letters")
    return words | letters | _vocabulary(model.vocabulary)


def _vocabulary(words: list[str]) -> dict[str, np.ndarray]:
    return {"vocabulary": pack("\n".join(words).encode("ascii"))}


def _bytes(arrays: Mapping[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())


def _estimate(lines: list[list[int]], size: int, order: int) -> Estimate:
    """N-grams of lines of symbols, each between its begin and its end."""
    flat = np.concatenate([np.array([BEGIN, *line, END], np.int64) for line in lines])
    begins = np.flatnonzero(flat == BEGIN)
    place = np.arange(len(flat)) - np.repeat(begins, np.diff([*begins, len(flat)]))
    contexts = np.full((len(flat), order - 1), size, np.int64)
    for back in range(1, order):
        there = place >= back
        contexts[there, back - 1] = flat[np.flatnonzero(there) - back]
    said = place > 0
    return Estimate(flat[said], contexts[said], size)


def _fitting(estimate: Estimate, measure: Callable[[Backoff], int], room: int) -> Backoff:
    """The largest model of up to ``room`` bytes, by bisection over how little is pruned."""
    gains: Floats = np.sort(np.concatenate(estimate.gains[1:]))[::-1]
    best: Backoff | None = None
    low, high = 0, len(gains)
    guess = min(high, room // 3)
    for _ in range(6):
        made = estimate.pruned(float(gains[min(guess, len(gains) - 1)]))
        taken = measure(made)
        if taken <= room:
            low, best = guess, made
            if guess >= len(gains) or taken > 0.98 * room:
                break
        else:
            high = guess
        step = int(guess * room / max(taken, 1) * 0.99)
        guess = step if low < step < high else (low + high) // 2 or high
    if best is None:
        raise SpeechLMError(f"no text language model has so few bytes: allow more than {room}")
    return best
