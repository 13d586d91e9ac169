"""Back-off n-gram models: pruned, quantized to bytes, and looked up quickly.

The n-grams form a trie from the first symbol to the last. A node of n symbols holds the
log-probability of the last after the others, and the back-off weight of all n as a context
(Katz 1987), each in one byte. N-grams that say little are pruned first: those of the least
``count * (log p(w | h) - log p_backoff(w | h))`` (Seymore and Rosenfeld 1996).
"""

from __future__ import annotations

import lzma
import math
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from speechlm.text.kneser_ney import KneserNey
from speechlm.types import Floats, Ints

STEP = 0.08
"""Nats between two values of a byte."""
LARGEST = 1 << 26
"""Bytes that a compressed array may unpack to."""
WINDOW = 1 << 20
"""Bytes over which LZMA looks for repetitions."""
KEPT = 1 << 16
"""Probabilities that are remembered."""
Arrays = dict[str, NDArray[np.uint8]]


class Backoff:
    """An n-gram model. A context is a tuple of symbols, the nearest last.

    Args:
        levels: by order from 1: for each node, sorted by its symbols, the last ``symbol``, log
            ``probability`` and ``backoff`` weight in steps of :data:`STEP`, and how many
            ``children`` it has in the next level. Level 1 has every symbol in order.
    """

    def __init__(self, levels: Sequence[Mapping[str, NDArray[np.integer]]]):
        self.levels = levels
        self.order = len(levels)
        self.size = len(levels[0]["symbol"])
        self._symbols = [array("H", level["symbol"].astype("<u2").tobytes()) for level in levels]
        self._logs = [(level["probability"] * -STEP).tolist() for level in levels]
        self._backoffs = [(level["backoff"] * STEP).tolist() for level in levels]
        self._starts = [
            np.concatenate([[0], np.cumsum(level["children"], dtype=np.int64)]).tolist()
            for level in levels
        ]
        self._known: dict[tuple[int, ...], float] = {}

    def log_probability(self, symbol: int, context: tuple[int, ...]) -> float:
        """Log-probability of a symbol after a context, of which the last ``order - 1`` count."""
        context = context[max(len(context) - self.order + 1, 0) :]
        key = (*context, symbol)
        found = self._known.get(key)
        if found is None:
            found = self._look_up(symbol, context)
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[key] = found
        return found

    def _look_up(self, symbol: int, context: tuple[int, ...]) -> float:
        total = 0.0
        for first in range(len(context)):
            node = self._node(context[first:])
            if node is not None:
                level = len(context) - first
                below = self._child(level, node, symbol)
                if below is not None:
                    return total + self._logs[level][below]
                total += self._backoffs[level - 1][node]
        return total + self._logs[0][symbol]

    def _node(self, symbols: tuple[int, ...]) -> int | None:
        node: int | None = symbols[0]
        for level, symbol in enumerate(symbols[1:], 1):
            if node is None:
                return None
            node = self._child(level, node, symbol)
        return node

    def _child(self, level: int, parent: int, symbol: int) -> int | None:
        """Number of the node at ``level`` (from 0) below a node of the level above."""
        start, stop = self._starts[level - 1][parent], self._starts[level - 1][parent + 1]
        at = bisect_left(self._symbols[level], symbol, start, stop)
        return at if at < stop and self._symbols[level][at] == symbol else None

    def arrays(self, name: str) -> Arrays:
        """The model as arrays of bytes whose names begin with ``name``; compressed by LZMA."""
        found = {}
        for order, level in enumerate(self.levels, 1):
            kinds = {"symbol": "<u2", "probability": "u1", "backoff": "i1", "children": "<u2"}
            for part, kind in kinds.items():
                if (order > 1 or part != "symbol") and (order < self.order or part != "children"):
                    planes = level[part].astype(kind).view(np.uint8)
                    planes = planes.reshape(-1, np.dtype(kind).itemsize).T
                    found[f"{name}.{order}.{part}"] = pack(planes.tobytes())
        return found

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, NDArray[np.uint8]]) -> Backoff:
        """The inverse of :meth:`arrays`.

        Raises:
            ValueError: when the arrays are none of a model.
        """
        levels: list[dict[str, NDArray[np.integer]]] = []
        while f"{name}.{len(levels) + 1}.probability" in arrays:
            stem = f"{name}.{len(levels) + 1}"
            probability = np.frombuffer(unpack(arrays[f"{stem}.probability"]), np.uint8)
            number = len(probability)
            level: dict[str, NDArray[np.integer]] = {"probability": probability}
            for part, kind in {"backoff": "i1", "symbol": "<u2", "children": "<u2"}.items():
                if f"{stem}.{part}" in arrays:
                    data = np.frombuffer(unpack(arrays[f"{stem}.{part}"]), np.uint8)
                    planes = np.ascontiguousarray(data.reshape(np.dtype(kind).itemsize, -1).T)
                    level[part] = planes.reshape(-1).view(kind)
            level.setdefault("symbol", np.arange(number, dtype=np.uint16))
            level.setdefault("children", np.zeros(number, np.uint16))
            if {len(values) for values in level.values()} != {number} or "backoff" not in level:
                raise ValueError(f"{stem}: arrays of different lengths")
            if levels and int(levels[-1]["children"].sum(dtype=np.int64)) != number:
                raise ValueError(f"{stem}: another number of n-grams than the order below names")
            if number and int(level["symbol"].max()) >= len((levels or [level])[0]["symbol"]):
                raise ValueError(f"{stem}: a symbol that the model does not have")
            levels.append(level)
        if not levels or not len(levels[0]["symbol"]):
            raise ValueError(f"no n-grams {name!r}")
        return cls(levels)


class Estimate:
    """Kneser-Ney n-grams of symbols (n,) after contexts (n, order - 1), nearest first.

    Contexts hold ``size`` where there is none. The n-grams of each order are estimated as if it
    were the highest, since pruning makes the model back off after any context.
    """

    def __init__(self, symbols: Ints, contexts: Ints, size: int):
        self.size, self.order = size, contexts.shape[1] + 1
        base = size + 1
        self.grams: list[Ints] = []
        self.logs: list[Floats] = []
        self.gains: list[Floats] = []
        below: KneserNey | None = None
        for order in range(1, self.order + 1):
            past = contexts[:, : order - 1]
            model = KneserNey(symbols, past, size)
            whole = (past < size).all(axis=1)
            columns = np.concatenate([symbols[:, None], past], axis=1)[whole]
            keys, counts = np.unique(columns @ base ** np.arange(order), return_counts=True)
            grams = keys[:, None] // base ** np.arange(order) % base  # the nearest first
            probability = model.probability(grams[:, 0], grams[:, 1:])
            if below is None:
                everything = np.arange(size)
                probability = model.probability(everything, np.zeros((size, 0), np.int64))
                grams, gains = everything[:, None], np.full(size, np.inf)
            else:
                rest = model.backoff(grams[:, 1:])
                shorter = below.probability(grams[:, 0], grams[:, 1:-1])
                gains = counts * np.log(probability / (rest * shorter))
            self.grams.append(grams[:, ::-1])  # sorted by keys: in order of the trie
            self.logs.append(np.log(probability))
            self.gains.append(gains)
            below = model

    def pruned(self, least: float) -> Backoff:
        """The model of n-grams that gain at least so many nats over the training text."""
        kept = [gains >= least for gains in self.gains]
        base = self.size + 1
        keys = [grams @ base ** np.arange(grams.shape[1])[::-1] for grams in self.grams]
        for order in range(self.order - 1, 1, -1):  # what is kept hangs from what is kept
            above = np.unique(keys[order][kept[order]] // base)
            kept[order - 1] |= np.isin(keys[order - 1], above)
        keys = [each[some] for each, some in zip(keys, kept, strict=True)]
        logs = [each[some] for each, some in zip(self.logs, kept, strict=True)]
        levels: list[dict[str, Floats | Ints]] = []
        backoffs: list[Floats] = []
        for order in range(self.order):
            if order:
                parents = np.searchsorted(keys[order - 1], keys[order] // base)
                lower = _logs(keys, logs, backoffs, keys[order] % base**order, order, base)
                said = np.bincount(parents, np.exp(logs[order]), len(keys[order - 1]))
                known = np.bincount(parents, np.exp(lower), len(keys[order - 1]))
                rest = (1 - said).clip(1e-4) / (1 - known).clip(1e-4)
                backoffs.append(np.log(rest))
                levels[-1]["backoff"] = (backoffs[-1] / STEP).round().clip(-127, 127)
                levels[-1]["children"] = np.bincount(parents, minlength=len(keys[order - 1]))
            levels.append(
                {
                    "symbol": keys[order] % base,
                    "probability": (logs[order] / -STEP).round().clip(0, 255),
                    "backoff": np.zeros(len(keys[order])),
                    "children": np.zeros(len(keys[order])),
                }
            )
        return Backoff([{k: v.astype(np.int64) for k, v in level.items()} for level in levels])


def _logs(
    keys: list[Ints],
    logs: list[Floats],
    backoffs: list[Floats],
    grams: Ints,
    order: int,
    base: int,
) -> Floats:
    """Log-probabilities of n-grams of ``order``, as the pruned model gives them."""
    if order == 1:
        return logs[0][grams]
    table = keys[order - 1]
    at = np.minimum(np.searchsorted(table, grams), max(len(table) - 1, 0))
    known = table[at] == grams if len(table) else np.zeros(len(grams), bool)
    contexts = keys[order - 2]
    place = np.minimum(np.searchsorted(contexts, grams // base), len(contexts) - 1)
    seen = contexts[place] == grams // base
    shorter = _logs(keys, logs, backoffs, grams % base ** (order - 1), order - 1, base)
    backed = np.where(seen, backoffs[order - 2][place], 0.0) + shorter
    return np.where(known, logs[order - 1][at] if len(table) else 0.0, backed)


def pack(data: bytes) -> NDArray[np.uint8]:
    """Bytes, compressed by LZMA."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": WINDOW}]
    return np.frombuffer(lzma.compress(data, filters=filters), np.uint8)


def unpack(data: NDArray[np.uint8]) -> bytes:
    """The inverse of :func:`pack`.

    Raises:
        ValueError: for other bytes, or those of more than :data:`LARGEST`.
    """
    try:
        made = lzma.LZMADecompressor(memlimit=1 << 28)
        found = made.decompress(data.tobytes(), LARGEST)
    except lzma.LZMAError as error:
        raise ValueError(f"not compressed by LZMA: {error}") from None
    if not made.eof:
        raise ValueError("a compressed array is cut short, or larger than any model's")
    return found


def log_sum(one: float, other: float) -> float:
    """Log of the sum of two exponentials."""
    high, low = (one, other) if one > other else (other, one)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
