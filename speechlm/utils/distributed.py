"""Collective operations of a training run; each is the identity in a run of one process.

A step of N processes equals that of one process on the same batch: each takes its shard of the
rows, and statistics that are no plain mean over rows (moving averages, k-means, ratios) are reduced
here over all of them. Gradient accumulation over micro-batches works alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class Shard:
    """Shard ``index`` of ``count`` shards of a batch, a corpus or a job."""

    index: int = 0
    count: int = 1

    @classmethod
    def of_job(cls, text: str) -> Shard:
        """Parse ``I/N``, shard I of shards 1 to N.

        Raises:
            SpeechLMError: when ``text`` is not of that form.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise SpeechLMError(f"--shard is I/N with I from 1 to N, as 3/8, not {text}")
        return cls(int(index) - 1, int(count))

    def rows(self, batch: int) -> slice:
        """The rows of this shard of ``batch`` rows.

        Raises:
            SpeechLMError: when the shards would differ in size.
        """
        if batch % self.count:
            raise SpeechLMError(
                f"{batch} rows of a batch cannot be split evenly into {self.count} (processes "
                "times training.gradient_accumulation_steps): give another data.batch"
            )
        size = batch // self.count
        return slice(self.index * size, (self.index + 1) * size)

    def split(self, shard: Shard) -> Shard:
        """The shard ``shard`` of this shard."""
        return Shard(self.index * shard.count + shard.index, self.count * shard.count)


_micro_batch = Shard()
T = TypeVar("T")


@contextmanager
def micro_batch(index: int, count: int) -> Iterator[None]:
    """Declare that the code inside processes micro-batch ``index`` of ``count`` of this process."""
    global _micro_batch
    _micro_batch = Shard(index, count)
    try:
        yield
    finally:
        _micro_batch = Shard()


def current_micro_batch() -> Shard:
    """The micro-batch that :func:`micro_batch` declares; the only one outside of it."""
    return _micro_batch


def accumulate_rows(waiting: list[tuple[Tensor, ...]], *rows: Tensor) -> tuple[Tensor, ...] | None:
    """The rows of all micro-batches of this process, in the last one; None before it.

    Args:
        waiting: holds the rows of the earlier micro-batches; empty after the last.
    """
    waiting.append(rows)
    if _micro_batch.index < _micro_batch.count - 1:
        return None
    joined = tuple(torch.cat(column) for column in zip(*waiting, strict=True))
    waiting.clear()
    return joined


def world_size() -> int:
    """Number of processes of the run."""
    return 1 if _alone() else dist.get_world_size()


def is_main_process() -> bool:
    """Whether this process has rank 0."""
    return _rank() == 0


def gather_keys(keys: Iterable[str]) -> list[str]:
    """The union of the keys of all processes, in the order of their first occurrence by rank."""
    gathered: list[list[str]] = [list(keys)]
    if not _alone():
        gathered = gathered * world_size()
        dist.all_gather_object(gathered, gathered[0])
    return list(dict.fromkeys(key for keys in gathered for key in keys))


def all_reduce_sum(x: Tensor) -> Tensor:
    """The sum of ``x`` over the processes; without a gradient where there are several."""
    if _alone():
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x


def all_reduce_mean(x: Tensor) -> Tensor:
    """The mean of ``x``, without a gradient, over the processes."""
    return all_reduce_sum(x.detach()) / world_size()


def all_reduce_max(x: Tensor) -> Tensor:
    """The largest value of ``x`` over the processes, elementwise."""
    if _alone():
        return x
    x = x.clone()
    dist.all_reduce(x, op=dist.ReduceOp.MAX)
    return x


def broadcast(value: T) -> T:
    """The ``value`` (a number or text) of the main process."""
    values = [value]
    if not _alone():
        dist.broadcast_object_list(values)
    return values[0]


def all_gather(rows: Tensor) -> Tensor:
    """Rows (n, ...) of all processes, concatenated by rank; n is the same for all."""
    if _alone():
        return rows
    gathered = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)


def rand_like(x: Tensor) -> Tensor:
    """Uniform draws from [0, 1) in the shape of ``x`` (rows, ...): this shard's of the batch's.

    All processes and micro-batches draw for the whole batch, with generators seeded alike.
    """
    shard = Shard(_rank(), world_size()).split(_micro_batch)
    draws = torch.rand(shard.count * len(x), *x.shape[1:], dtype=x.dtype, device=x.device)
    return draws[shard.rows(len(draws))]


def _rank() -> int:
    return 0 if _alone() else dist.get_rank()


def _alone() -> bool:
    return not (dist.is_available() and dist.is_initialized())
