"""What the processes of a training run do together; alone, a process does it by itself.

A step of N processes on a batch is that of one process on the same batch: each takes its share of
the rows, and what is no plain mean over rows (moving averages, k-means, ratios) is computed here of
all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class Share:
    """The part of a batch that falls to process ``index`` of ``count``."""

    index: int = 0
    count: int = 1

    def rows(self, batch: int) -> slice:
        """Its rows of ``batch`` rows.

        Raises:
            SpeechLMError: when the processes cannot share them evenly.
        """
        if batch % self.count:
            raise SpeechLMError(
                f"a batch of {batch} cannot be shared evenly by {self.count} processes"
            )
        each = batch // self.count
        return slice(self.index * each, (self.index + 1) * each)


def processes() -> int:
    """How many there are."""
    return 1 if _alone() else distributed.get_world_size()


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
    """Even draws from [0, 1) in the shape of ``x`` (rows, ...), of draws for the rows of all."""
    if _alone():
        return torch.rand_like(x)
    count = processes()
    every = torch.rand(count * len(x), *x.shape[1:], dtype=x.dtype, device=x.device)
    return every[Share(distributed.get_rank(), count).rows(len(every))]


def _alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized())
