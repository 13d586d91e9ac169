"""Negative log-likelihood under a linear layer, without ever holding all logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from speechlm.nn.onednn_linear import onednn_matmul

PIECE = 1 << 20
"""Logits at a time: they stay in the processor's cache."""


class _Likelihood(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, share: Tensor
    ) -> tuple[Tensor, Tensor]:
        wanted = any(ctx.needs_input_grad[:2])
        if wanted:
            x_grad, weight_grad = torch.zeros_like(x), torch.zeros_like(weight)
        nll = x.new_empty(len(x), dtype=torch.float32)
        size = max(PIECE // len(weight), 32)
        for start in range(0, len(x), size):
            piece = slice(start, start + size)
            logits = onednn_matmul(x[piece], weight).float()
            chosen = targets[piece, None]
            peak = logits.amax(1, keepdim=True)
            odds = logits.gather(1, chosen) - peak
            logits.sub_(peak).exp_()
            total = logits.sum(1, keepdim=True)
            nll[piece] = (total.log() - odds).squeeze(1)
            if wanted:
                # The gradient: (softmax - one-hot) times each one's share.
                part = share[piece, None]
                slope = logits.mul_(part / total).scatter_add_(1, chosen, -part).to(x.dtype)
                x_grad[piece] = onednn_matmul(slope, weight.t())
                weight_grad += onednn_matmul(slope.t(), x[piece].t())
        if wanted:
            ctx.save_for_backward(x_grad, weight_grad)
        ctx.mark_non_differentiable(nll)
        return (nll * share).sum(), nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_grad, weight_grad = ctx.saved_tensors
        return x_grad * grads[0], weight_grad * grads[0], None, None


def likelihood(x: Tensor, weight: Tensor, targets: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of each target's NLL times its ``share``, and the NLL (n,), in nats.

    Logits are ``x`` (n, dim) times ``weight`` (classes, dim); ``targets`` and ``share`` are (n,).
    The first result has gradients, which are found together with it, piece by piece: three matrix
    products as usual, but (n, classes) logits, whose memory traffic costs more than the products
    do, never exist.
    """
    return _Likelihood.apply(x, weight, targets, share)
