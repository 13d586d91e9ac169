"""How much texts repeat themselves and each other, as GSLM (Lakhotia et al. 2021) measures it.

Both are the mean of two shares, of words and of their pairs, without BLEU's penalty of shortness.
It is the arithmetic mean, one of the two that GSLM's code gives: by the geometric one, a short text
in which no pair comes twice has 0, however often it says a word. Pairs that overlap count: of
"no no no" all is said more than once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

ORDER = 2
Grams = Counter[tuple[str, ...]]


def auto_bleu(words: Sequence[str]) -> float:
    """How much of a text it has more than once; 0 to 1."""
    every = _all(words)
    return _mean([_share(grams, {g: n for g, n in grams.items() if n > 1}) for grams in every])


def self_bleu(texts: Sequence[Sequence[str]]) -> list[float]:
    """Of each text, BLEU with all others as its references; 0 to 1."""
    every = [_all(words) for words in texts]
    return [
        _mean(
            [
                _clipped(grams, [other[order] for other in every[:number] + every[number + 1 :]])
                for order, grams in enumerate(own)
            ]
        )
        for number, own in enumerate(every)
    ]


def _all(words: Sequence[str]) -> list[Grams]:
    """N-grams of each order, with how often they come."""
    return [
        Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
        for n in range(1, ORDER + 1)
    ]


def _clipped(grams: Grams, others: Sequence[Grams]) -> float:
    """The share of ``grams`` that others have, each as often as the one that has most of it."""
    most = {gram: max((other[gram] for other in others), default=0) for gram in grams}
    return _share(grams, {gram: min(count, most[gram]) for gram, count in grams.items()})


def _share(grams: Grams, found: dict[tuple[str, ...], int]) -> float:
    return sum(found.values()) / (grams.total() or 1)


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares)
