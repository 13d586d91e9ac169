"""Muon: momentum whose matrices are made orthogonal before they are applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from speechlm.nn.onednn_linear import onednn_matmul
from speechlm.training.fsdp import part_of, whole

COEFFICIENTS = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
"""Odd polynomials ``a x + b x^3 + c x^5``. Of all compositions of three, theirs is closest to 1 on
[``SMALLEST``, 1], within ``ERROR`` (Amsel et al. 2025, "The Polar Express")."""
SMALLEST = 0.01
ERROR = 0.27


class Muon(Optimizer):
    """Muon (Jordan et al. 2024) with Nesterov momentum and decoupled weight decay, for matrices.

    The update of a matrix is the orthogonal polar factor of its momentum, scaled to the root mean
    square of an AdamW update (Liu et al. 2025, "Muon is Scalable for LLM Training"), so that both
    take the same learning rate.

    It differs from :class:`torch.optim.Muon` in cost: three iterations with optimal coefficients in
    place of five, and float32 through oneDNN on processors without bfloat16 instructions, which
    emulate them at several times the cost. Matrices are taken one by one: a batch of those of equal
    shape does not fit a core's cache, and takes half as long again.

    With ``every`` above 1 a matrix moves in each ``every``-th step only, by as many times the
    learning rate, and gradients between go to its momentum. Matrices take turns, so that all steps
    cost the same.

    Raises:
        ValueError: for a parameter that is no matrix.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        every: int = 1,
    ):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "every": every}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim != 2:
                    raise ValueError(f"Muon is for matrices, not for shape {tuple(weight.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for number, weight in enumerate(group["params"]):
                if weight.grad is not None:
                    self._update(weight, weight.grad, group, number)
        return loss

    def _update(self, weight: Tensor, grad: Tensor, group: dict[str, Any], number: int) -> None:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
            state["step"] = torch.tensor(float(number))  # so that equal matrices take turns
        momentum = state["momentum_buffer"].lerp_(grad, 1 - group["momentum"])
        state["step"] += 1
        if int(state["step"]) % group["every"]:
            return
        factor = polar_factor(whole(torch.lerp(grad, momentum, group["momentum"])))
        rate = group["every"] * group["lr"]
        weight.mul_(1 - rate * group["weight_decay"])
        weight.add_(part_of(factor, weight), alpha=-rate * 0.2 * max(weight.shape) ** 0.5)


def polar_factor(matrix: Tensor) -> Tensor:
    """The orthogonal factor ``U V^T`` of ``matrix`` = ``U S V^T``, approximately.

    Singular values above ``SMALLEST`` times the norm (the fourth root of the sum of their fourth
    powers) become 1, within ``ERROR`` and rounding; smaller ones something between 0 and that.
    """
    if len(matrix) > matrix.shape[1]:  # the Gram matrix of the smaller side is small
        return polar_factor(matrix.mT.contiguous()).mT
    half = matrix.device.type != "cpu" or _has_bfloat16()
    x = matrix.bfloat16() if half else matrix
    norm: Tensor | None = None
    for a, b, c in COEFFICIENTS:
        gram = x @ x.mT if half else onednn_matmul(x, x)
        if norm is None:
            norm = gram.float().norm().clamp_min(1e-30)
            x, gram = (x / norm.sqrt()).to(x.dtype), (gram / norm).to(x.dtype)
        if half:
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        else:
            factor = torch.add(b * gram, onednn_matmul(gram, gram), alpha=c)
            x = torch.add(onednn_matmul(factor, x.mT), x, alpha=a)
    return x.to(matrix.dtype)


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16, which otherwise is emulated."""
    supported: bool = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return supported
