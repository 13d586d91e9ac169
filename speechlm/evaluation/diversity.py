"""How much texts repeat themselves and each other, as GSLM (Lakhotia et al. 2021) measures it.

Both are the mean of two shares, of words and of their pairs, without BLEU's penalty of shortness.
It is the arithmetic mean, one of the two that GSLM's code gives: by the geometric one, a short text
in which no pair comes twice has 0, however often it says a word. As there, a pair that overlaps
another is not said again: "no no no" has each word more than once, and no pair.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

ORDER = 2
Gram = tuple[str, ...]


def auto_bleu(words: Sequence[str]) -> float:
    """How much of a text it has more than once; 0 to 1."""
    return _mean([_repeated(_grams(words, order), order) for order in range(1, ORDER + 1)])


def self_bleu(texts: Sequence[Sequence[str]], references: int) -> list[float]:
    """Of each text, BLEU with ``references`` of the others; 0 to 1.

    The more references, the more of a text is in one of them, so that only values of as many can be
    compared. It is the mean over all choices of so many, exactly: no reference is drawn.

    Raises:
        ValueError: when there are no references, or more of them than other texts.
    """
    if not 1 <= references < len(texts):
        raise ValueError(f"{references} references for each of {len(texts)} texts")
    orders = [[Counter(_grams(words, n)) for words in texts] for n in range(1, ORDER + 1)]
    return [
        _mean(shares) for shares in zip(*(_clipped(o, references) for o in orders), strict=True)
    ]


def _grams(words: Sequence[str], order: int) -> list[Gram]:
    return [tuple(words[at : at + order]) for at in range(len(words) - order + 1)]


def _repeated(grams: Sequence[Gram], order: int) -> float:
    """The share of grams that come again without a word in common."""
    last = {gram: at for at, gram in enumerate(grams)}
    first = {gram: at for at, gram in reversed(list(enumerate(grams)))}
    again = (at - first[gram] >= order or last[gram] - at >= order for at, gram in enumerate(grams))
    return sum(again) / (len(grams) or 1)


def _clipped(texts: Sequence[Counter[Gram]], references: int) -> list[float]:
    """Of each text, the share of grams that references have, each as often as one of them has it.

    A gram's k-th time counts where a reference has it k times.
    """
    having = Counter((gram, k) for grams in texts for gram, n in grams.items() for k in _times(n))
    others = len(texts) - 1
    found = [1 - _missed(others - n, others, references) for n in range(others + 1)]
    return [
        sum(found[having[gram, k] - 1] for gram, n in grams.items() for k in _times(n))
        / (grams.total() or 1)
        for grams in texts
    ]


def _times(count: int) -> range:
    return range(1, count + 1)


def _missed(without: int, others: int, references: int) -> float:
    """The probability that all references are of those ``without`` something."""
    return math.comb(without, references) / math.comb(others, references)


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares)
