"""Means of logged values between two lines of the log."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechlm.utils import distributed


class RunningMeans:
    """Running means of scalar tensors, read only when asked: reading waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last call, over all processes; all of them have to call."""
        names = distributed.gather_keys(self.sums)  # not all have seen all kinds of tokens
        like: dict[str, Any] = {"dtype": torch.float64, "device": self.device}
        sums = torch.stack([torch.as_tensor(self.sums.get(name, 0.0), **like) for name in names])
        counts = torch.tensor([self.counts.get(name, 0) for name in names], **like)
        means = distributed.all_reduce_sum(sums) / distributed.all_reduce_sum(counts)
        values = dict(zip(names, means.tolist(), strict=True))
        self.sums, self.counts = {}, {}
        return values
