"""Float32 matrix products on the CPU by oneDNN, which PyTorch does not choose by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_MULTIPLICATIONS = 1 << 21
"""Size of a product below which the overhead of a call to oneDNN, some 15 us, does not pay."""

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_matmul(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b.mT + bias``: (..., inner) and (columns, inner) to (..., columns).

    PyTorch multiplies float32 matrices by MKL, which does not use AVX-512 on AMD processors.
    oneDNN, which PyTorch includes too, takes less than half the time there. Both accumulate in
    float32.
    """
    if not _uses_onednn(a, b) or torch.is_autocast_enabled("cpu"):
        return F.linear(a, b, bias)
    if not torch.is_grad_enabled():
        return _onednn(a, b, bias)
    result: Tensor = _Matmul.apply(a, b)
    return result if bias is None else result + bias


class OneDNNLinear(nn.Linear):
    """A linear layer without biases, by :func:`onednn_matmul`."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return onednn_matmul(x, self.weight)


class _Matmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _onednn(a, b) if _uses_onednn(a, b) else a @ b.mT

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        [grad] = grads
        a_grad = b_grad = None
        if ctx.needs_input_grad[0]:
            a_grad = _Matmul.apply(grad, b.mT)
        if ctx.needs_input_grad[1]:
            b_grad = _Matmul.apply(grad.flatten(0, -2).mT, a.flatten(0, -2).mT)
        return a_grad, b_grad


def _uses_onednn(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN supports these operands, and is faster."""
    return (
        _ONEDNN
        and not torch.compiler.is_exporting()
        and a.device.type == "cpu"
        and a.dtype == b.dtype == torch.float32
        and a.numel() * len(b) >= MIN_MULTIPLICATIONS
    )


def _onednn(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    if bias is None and a.ndim == 2 and not a.is_contiguous() and len(a) > len(b):
        # It would be copied, which costs more than to turn the smaller result.
        return _onednn(b, a).mT
    if not b.mT.is_contiguous():
        b = b.contiguous()  # or rows with gaps between them go to a loop without vectors
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return result
