"""Metrics of training steps, accumulated between two lines of the log."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechlm.utils import distributed


class MetricAccumulator:
    """Means of scalars and sums of histograms over the steps since the last :meth:`take`.

    A metric of no dimension is averaged. One of shape (num_codebooks, codebook_size) is a histogram
    of codes, which is summed and reported as codebook use (fraction of the entries that occur) and
    perplexity (exponential of the entropy, the number of entries in effective use). Values stay on
    their device until they are read, for reading waits for the device.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        """Add the metrics of a step or a phase of it."""
        for name, value in values.items():
            total = value.detach().to(torch.float64)
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The metrics over all processes; begins anew. All processes call it together."""
        state = self.state()
        self._sums, self._counts = {}, {}
        metrics: dict[str, float] = {}
        for name, total in state["sums"].items():
            if total.ndim:
                metrics |= _codebook_metrics(name, total)
            else:
                metrics[name] = float(total) / state["counts"][name]
        return metrics

    def state(self) -> dict[str, Any]:
        """What was accumulated, summed over all processes, which call it together."""
        shapes = {name: list(value.shape) for name, value in self._sums.items()}
        names = distributed.gather_keys(f"{name}:{shape}" for name, shape in shapes.items())
        sums, counts = {}, {}
        for key in names:  # not all processes have all metrics, such as those of a kind of token
            name, _, shape = key.rpartition(":")
            size = [int(number) for number in shape.strip("[]").split(",") if number]
            value = self._sums.get(name, torch.zeros(size))
            value = value.to(self.device, torch.float64)
            count = torch.tensor(float(self._counts.get(name, 0)), device=self.device)
            sums[name] = distributed.all_reduce_sum(value).cpu()
            counts[name] = int(distributed.all_reduce_sum(count))
        return {"sums": sums, "counts": counts}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state`; in one of the processes, for it has the sums of all."""
        self._sums = {name: value.to(self.device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])


def _codebook_metrics(name: str, counts: Tensor) -> dict[str, float]:
    """Use and perplexity of codebooks, each and in the mean, from ``counts`` of their codes."""
    probabilities = counts / counts.sum(dim=1, keepdim=True).clamp_min(1)
    perplexity = torch.special.entr(probabilities).sum(dim=1).exp()
    metrics = {f"{name}_use": float((counts > 0).double().mean())}
    metrics[f"{name}_perplexity"] = float(perplexity.mean())
    for number, value in enumerate(perplexity.tolist(), start=1):
        metrics[f"{name}_perplexity/{number}"] = value
    return metrics
