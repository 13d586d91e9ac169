"""Several examples in one sequence: no columns wasted on padding, no look at a neighbour.

A batch is ``tokens`` (batch, rows, columns), ``mask`` (the same, true where a token is to be
predicted) and ``segments`` (batch, columns): which example of its row a column belongs to, -1 for
padding. A model attends within a segment only, and positions restart in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from speechlm.lm.tasks import TokenSequence

PADDING = -1
BLOCK = 8
"""Rows that are drawn and packed together."""


@dataclass(frozen=True)
class PackedBatch:
    """Arrays for a model: int64, bool and int64, as above."""

    tokens: np.ndarray
    mask: np.ndarray
    segments: np.ndarray


def pack(
    sequences: Sequence[TokenSequence], batch: int, length: int, pad: int
) -> list[PackedBatch]:
    """Pack all ``sequences`` into batches of ``batch`` rows of ``length`` columns.

    Raises:
        ValueError: when a sequence is longer than ``length``, or there is none.
    """
    if not sequences:
        raise ValueError("no sequence to pack")
    rows = [[sequences[index] for index in row] for row in _rows(sequences, length)]
    return [
        _laid(rows[first : first + batch], batch, length, pad)
        for first in range(0, len(rows), batch)
    ]


def _rows(sequences: Sequence[TokenSequence], length: int) -> list[list[int]]:
    """Which sequences share a row: the longest first, each into the first that has room."""
    sizes = [sequence.tokens.shape[1] for sequence in sequences]
    if max(sizes) > length:
        raise ValueError(f"a sequence of {max(sizes)} columns does not fit in {length}")
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        row = next((i for i, left in enumerate(room) if sizes[index] <= left), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(length)
        rows[row].append(index)
        room[row] -= sizes[index]
    return rows


def _laid(packed: list[list[TokenSequence]], batch: int, length: int, pad: int) -> PackedBatch:
    rows = len(packed[0][0].tokens)
    tokens = np.full((batch, rows, length), pad, np.int64)
    mask = np.zeros((batch, rows, length), np.bool_)
    segments = np.full((batch, length), PADDING, np.int64)
    for row, sequences in enumerate(packed):
        start = 0
        for segment, sequence in enumerate(sequences):
            columns = slice(start, start + sequence.tokens.shape[1])
            tokens[row, :, columns] = sequence.tokens
            mask[row, :, columns] = sequence.mask
            segments[row, columns] = segment
            start = columns.stop
    return PackedBatch(tokens, mask, segments)


class PackedExamples:
    """Training batches of drawn examples, a pure function of (seed, step).

    So a run that was stopped and resumed sees exactly the batches that would have come. Rows are
    made in blocks, each a function of (seed, step, block): a process makes only what its own rows
    are of. As many examples are drawn as fill a block, and the last ones put back until all have
    room: to drop just those that find none would favour a length.
    """

    def __init__(
        self,
        draw: Callable[[np.random.Generator], TokenSequence],
        batch: int,
        length: int,
        pad: int,
        seed: int,
    ):
        self.draw = draw
        self.batch = batch
        self.length = length
        self.pad = pad
        self.seed = seed

    def __call__(self, step: int, rows: slice = slice(None)) -> PackedBatch:
        """The batch of this step, or some rows of it."""
        first, stop, _ = rows.indices(self.batch)
        blocks = range(first // BLOCK, -(-stop // BLOCK))
        made = [self._block(step, block) for block in blocks]
        own = slice(first - BLOCK * blocks.start, stop - BLOCK * blocks.start)
        return PackedBatch(
            *(
                np.concatenate([getattr(block, field.name) for block in made])[own]
                for field in fields(PackedBatch)
            )
        )

    def _block(self, step: int, block: int) -> PackedBatch:
        random = np.random.default_rng((self.seed, step, block))
        rows = min(BLOCK, self.batch - block * BLOCK)
        drawn: list[TokenSequence] = []
        columns = 0
        while columns < rows * self.length:
            drawn.append(self.draw(random))
            columns += drawn[-1].tokens.shape[1]
        while len(_rows(drawn, self.length)) > rows:
            drawn.pop()
        return pack(drawn, rows, self.length, self.pad)[0]
