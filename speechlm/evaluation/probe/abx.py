"""ABX discrimination: of two labels A and B, is another X of A's kind nearer to A?

As in ZeroSpeech (Schatz et al. 2013; Versteegh et al. 2015), over whatever speakers and contexts
there are: the distance is the mean over the best alignment of units, 0 for the same unit and 1 for
another. Chance is 50 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from speechlm.evaluation import statistics
from speechlm.evaluation.statistics import Interval

Token = NDArray[np.int64]
"""Units (frames,) of a phone, or word, that was said once."""


def distance(one: Token, other: Token) -> float:
    """Cost of the cheapest alignment (dynamic time warping), over the length of its path."""
    costs = one[:, None] != other[None]
    before: list[tuple[float, int]] = []
    for row in costs.tolist():
        line: list[tuple[float, int]] = []
        for j, cost in enumerate(row):
            ways = [*before[j : j + 1], *line[-1:], *(before[j - 1 : j] if j else ())]
            total, length = min(ways) if ways else (0, 0)
            line.append((total + cost, length + 1))
        before = line
    total, length = before[-1]
    return total / length


def error(tokens: Mapping[str, Sequence[Token]], triples: int, seed: int = 0) -> Interval:
    """Share of wrong answers, the mean over pairs of labels; an equal distance is half wrong.

    Of each pair ``triples`` are drawn, in both directions by turns. The interval is over labels,
    since all pairs of a label share what is hard about it. Those that were said less than twice are
    left out.
    """
    random = np.random.default_rng(seed)
    known = sorted(name for name, said in tokens.items() if len(said) > 1)
    errors = np.full((len(known), len(known)), np.nan)
    for one, other in combinations(range(len(known)), 2):
        pair = (known[one], known[other])
        wrong = 0.0
        for number in range(triples):
            first, second = pair if number % 2 else pair[::-1]
            a, x = random.choice(len(tokens[first]), 2, replace=False).tolist()
            b = int(random.integers(len(tokens[second])))
            nearer = distance(tokens[first][a], tokens[first][x])
            farther = distance(tokens[second][b], tokens[first][x])
            wrong += (nearer > farther) + 0.5 * (nearer == farther)
        errors[one, other] = wrong / triples
    return statistics.of_pairs(errors)
