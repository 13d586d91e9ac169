"""N-gram probabilities with interpolated Kneser-Ney smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speechlm.types import Floats, Ints


@dataclass(frozen=True)
class _Order:
    """Grams of one order: sorted keys with counts, and by context the sum and number of counts."""

    keys: Ints
    counts: Ints
    contexts: Ints
    totals: Ints
    types: Ints
    discount: float


class KneserNey:
    """Interpolated Kneser-Ney (Chen and Goodman 1998, eq. 14 to 16), with one discount an order.

    ::

        P(w | h) = max(c(h, w) - D, 0) / c(h) + D * types(h) / c(h) * P(w | h without its farthest)

    Counts are occurrences in the highest order and, below, the number of different symbols that
    come before (h, w). D = n1 / (n1 + 2 n2) of those counts, or half where no count is 1 or 2.
    Below the lowest order, all symbols are as likely.

    Args:
        symbols: int (n,), in [0, size).
        contexts: int (n, order - 1), the nearest first, in [0, size]; ``size`` where there is none.
    """

    def __init__(self, symbols: NDArray[np.integer], contexts: NDArray[np.integer], size: int):
        self.size = size
        self.order = contexts.shape[1] + 1
        if (size + 1) ** self.order >= 1 << 63:
            raise ValueError(f"{self.order}-grams of {size} symbols do not fit in 64 bits")
        keys, counts = np.unique(self._keys(symbols, contexts), return_counts=True)
        self._orders: list[_Order] = []
        for order in range(self.order, 0, -1):
            self._orders.append(self._counted(keys, counts))
            # Each gram, without its farthest symbol, is one that comes before.
            keys, counts = np.unique(keys % (size + 1) ** (order - 1), return_counts=True)

    def probability(self, symbols: NDArray[np.integer], contexts: NDArray[np.integer]) -> Floats:
        """P (n,) of symbols (n,) after contexts (n, order - 1)."""
        keys = self._keys(symbols, contexts)
        found = np.full(len(keys), 1 / self.size)
        for order, grams in enumerate(reversed(self._orders), 1):
            part = keys % (self.size + 1) ** order
            seen, at = _find(grams.contexts, part // (self.size + 1))
            total = grams.totals[at]
            known, place = _find(grams.keys, part)
            count = np.where(known, grams.counts[place], 0)
            left = grams.discount * grams.types[at] / total
            interpolated = np.maximum(count - grams.discount, 0) / total + left * found
            found = np.where(seen, interpolated, found)
        return found

    def backoff(self, contexts: NDArray[np.integer]) -> Floats:
        """Weights (n,) of the order below after contexts (n, order - 1), nearest first.

        1 where the context was never seen.
        """
        grams = self._orders[0]
        keys = self._keys(np.zeros(len(contexts), np.int64), contexts) // (self.size + 1)
        seen, at = _find(grams.contexts, keys)
        return np.where(seen, grams.discount * grams.types[at] / grams.totals[at], 1.0)

    def _keys(self, symbols: NDArray[np.integer], contexts: NDArray[np.integer]) -> Ints:
        """One number a gram: the symbol is the lowest digit, the farthest before it the highest."""
        digits = np.concatenate([symbols[:, None], contexts], axis=1).astype(np.int64)
        return digits @ (self.size + 1) ** np.arange(self.order, dtype=np.int64)

    def _counted(self, keys: Ints, counts: Ints) -> _Order:
        contexts, first, types = np.unique(
            keys // (self.size + 1), return_index=True, return_counts=True
        )
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else 0.5
        return _Order(keys, counts, contexts, np.add.reduceat(counts, first), types, discount)


def _find(table: Ints, keys: Ints) -> tuple[NDArray[np.bool_], Ints]:
    """Which keys are in a sorted table, and where (some place for those that are not)."""
    at = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return table[at] == keys, at
