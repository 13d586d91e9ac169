"""Matrix products in float32, by the faster of the two libraries that PyTorch has for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGE = 1 << 21
"""Multiplications from which on the faster library is worth its call, of about 15 us."""

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b.mT + bias``: (..., inner) and (columns, inner) to (..., columns).

    On a CPU PyTorch has floats multiplied by MKL, which on AMD's processors does without AVX-512.
    oneDNN, which PyTorch brings along too, takes less than half as long there. Both sum in float32.
    """
    if not _suits(a, b) or torch.is_autocast_enabled("cpu"):
        return F.linear(a, b, bias)
    if not torch.is_grad_enabled():
        return _onednn(a, b, bias)
    result: Tensor = _Product.apply(a, b)
    return result if bias is None else result + bias


class OneDNNLinear(nn.Linear):
    """A linear layer without biases, by :func:`product`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.weight)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _onednn(a, b) if _suits(a, b) else a @ b.mT

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        [grad] = grads
        a_grad = b_grad = None
        if ctx.needs_input_grad[0]:
            a_grad = _Product.apply(grad, b.mT)
        if ctx.needs_input_grad[1]:
            b_grad = _Product.apply(grad.flatten(0, -2).mT, a.flatten(0, -2).mT)
        return a_grad, b_grad


def _suits(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN takes these, and is worth it."""
    return (
        _ONEDNN
        and not torch.compiler.is_exporting()
        and a.device.type == "cpu"
        and a.dtype == b.dtype == torch.float32
        and a.numel() * len(b) >= LARGE
    )


def _onednn(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    if bias is None and a.ndim == 2 and not a.is_contiguous() and len(a) > len(b):
        # It would be copied, which costs more than to turn the smaller result.
        return _onednn(b, a).mT
    if not b.mT.is_contiguous():
        b = b.contiguous()  # or rows with gaps between them go to a loop without vectors
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return result
