"""What the processes of a training run do together; alone, a process does it by itself.

A step of N processes on a batch is that of one process on the same batch: each takes its share of
the rows, and what is no plain mean over rows (moving averages, k-means, ratios) is computed here of
all of them. So is a step in parts, one after the other, where memory is short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class Share:
    """What falls to process ``index`` of ``count``, as of a batch."""

    index: int = 0
    count: int = 1

    @classmethod
    def of_job(cls, text: str) -> Share:
        """``I/N``: that of job I of jobs 1 to N.

        Raises:
            SpeechLMError: when it is none.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise SpeechLMError(f"--shard is I/N with I from 1 to N, as 3/8, not {text}")
        return cls(int(index) - 1, int(count))

    def rows(self, batch: int) -> slice:
        """Its rows of ``batch`` rows.

        Raises:
            SpeechLMError: when the processes cannot share them evenly.
        """
        if batch % self.count:
            raise SpeechLMError(
                f"{batch} rows of a batch cannot be shared evenly by {self.count} processes "
                "and parts of training.accumulate"
            )
        each = batch // self.count
        return slice(self.index * each, (self.index + 1) * each)


_part = Share()
"""What is being done of this process's share of the step."""


@contextmanager
def part(index: int, count: int) -> Iterator[None]:
    """Inside, part ``index`` of ``count`` of this process's share of a step is done."""
    global _part
    _part = Share(index, count)
    try:
        yield
    finally:
        _part = Share()


def of_all_parts(waiting: list[tuple[Tensor, ...]], *rows: Tensor) -> tuple[Tensor, ...] | None:
    """Rows of all parts of this process's share, in the last one; None before it.

    Args:
        waiting: where those of the parts before are kept; empty at the end.
    """
    waiting.append(rows)
    if _part.index < _part.count - 1:
        return None
    found = tuple(torch.cat(each) for each in zip(*waiting, strict=True))
    waiting.clear()
    return found


def processes() -> int:
    """How many there are."""
    return 1 if _alone() else distributed.get_world_size()


def first() -> bool:
    """Whether this is the first of them."""
    return _rank() == 0


def union(names: Iterable[str]) -> list[str]:
    """The names that any of the processes has, in the order of the first that has them."""
    found: list[list[str]] = [list(names)]
    if not _alone():
        found = found * processes()
        distributed.all_gather_object(found, found[0])
    return list(dict.fromkeys(name for own in found for name in own))


def total(x: Tensor) -> Tensor:
    """The sum of ``x`` over the processes."""
    if _alone():
        return x
    x = x.clone()
    distributed.all_reduce(x)
    return x


def mean(x: Tensor) -> Tensor:
    """The mean of ``x``, without a gradient, over the processes."""
    return total(x.detach()) / processes()


def gathered(rows: Tensor) -> Tensor:
    """The rows (n, ...) of all processes, in the order of the processes; n is the same for all."""
    if _alone():
        return rows
    parts = [torch.empty_like(rows) for _ in range(processes())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def rand_like(x: Tensor) -> Tensor:
    """Even draws from [0, 1) in the shape of ``x`` (rows, ...), of draws for the rows of all.

    All processes and parts of a step draw alike: their generators are seeded alike.
    """
    count = processes() * _part.count
    every = torch.rand(count * len(x), *x.shape[1:], dtype=x.dtype, device=x.device)
    return every[Share(_rank() * _part.count + _part.index, count).rows(len(every))]


def _rank() -> int:
    return 0 if _alone() else distributed.get_rank()


def _alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized())
