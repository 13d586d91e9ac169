"""The moving average of a model's weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from speechlm.training.fsdp import part_of, whole
from speechlm.utils import distributed


class EMA:
    """A copy of ``model`` whose floating-point weights follow it slowly.

    The decay warms up as ``(1 + step) / (10 + step)``, so the random start is soon forgotten.
    Buffers are copied: a moving-average codebook is an average already.

    Attributes:
        model: the copy; where weights are sharded, the first process has it, as :meth:`gather` left
            it.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._weights: list[Tensor] = list(self.model.parameters())
        self._gathers = False

    def place(self, model: nn.Module, device: torch.device) -> None:
        """Go to ``device``, and keep of each weight what is kept of it in ``model`` there."""
        self.model.to(device)
        own = list(self.model.parameters())
        theirs = [weight.detach() for weight in model.parameters()]
        self._weights = [part_of(a, b) for a, b in zip(own, theirs, strict=True)]
        self._gathers = any(a is not b for a, b in zip(own, self._weights, strict=True))
        if self._gathers and not distributed.is_main_process():
            self.model.to("meta")

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._weights, [p.detach() for p in model.parameters()], 1 - decay)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)

    @torch.no_grad()
    def gather(self) -> None:
        """Make ``model`` whole; for all processes together to call."""
        if self._gathers:
            for own, kept in zip(self.model.parameters(), self._weights, strict=True):
                own.copy_(whole(kept))  # nothing, but in the first process
