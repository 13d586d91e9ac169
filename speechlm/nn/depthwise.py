"""Depthwise convolution, at the price that its arithmetic is worth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SHORT = 16
"""Up to so many outputs, calling the library's kernel costs more than the sum over windows."""


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int = 1) -> Tensor:
    """Convolve each channel of ``x`` (batch, channels, time) with its own kernel, unpadded.

    ``weight`` (channels, 1, kernel), ``bias`` (channels,); output (batch, channels, time - reach)
    with ``reach = (kernel - 1) * dilation``. Of three equal ways, the fastest for the input: on a
    single frame PyTorch's kernel takes ten times as long as the sum over windows, and for doubles
    it has no fast form at any length.
    """
    channels, _, kernel = weight.shape
    reach = (kernel - 1) * dilation
    ready = x.shape[2] - reach
    if type(ready) is not int:  # a symbol: exported for any length
        return F.conv1d(x, weight, bias, dilation=dilation, groups=channels)
    if ready <= SHORT:
        windows = x.unfold(2, reach + 1, 1)
        if dilation > 1:
            windows = windows[..., ::dilation]
        y = (windows * weight).sum(dim=3)
        return y if bias is None else y + bias.unsqueeze(1)
    if x.device.type == "cpu" and torch.is_grad_enabled() and x.dtype != torch.float64:
        result: Tensor = _Depthwise.apply(x.float(), weight, bias, dilation)
        return result
    if x.dtype != torch.float64:
        return F.conv1d(x, weight, bias, dilation=dilation, groups=channels)
    start = x.new_zeros(()) if bias is None else bias.unsqueeze(1)
    y = torch.addcmul(start, x.narrow(2, 0, ready), weight[:, :, 0])
    for tap in range(1, kernel):
        y.addcmul_(x.narrow(2, tap * dilation, ready), weight[:, :, tap])
    return y


class _Depthwise(torch.autograd.Function):
    """In float32, whatever autocast says, with a backward pass of a third of the time of PyTorch's.

    oneDNN's backward pass of depthwise convolutions takes twenty times its forward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        with torch.autocast("cpu", enabled=False):
            return F.conv1d(x, weight, bias, dilation=dilation, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        [grad] = grads
        channels, _, kernel = weight.shape
        dilation, time = ctx.dilation, grad.shape[2]
        x_grad = weight_grad = bias_grad = None
        if ctx.needs_input_grad[0]:
            reach = (kernel - 1) * dilation
            padded = F.pad(grad, (reach, reach))
            x_grad = F.conv1d(padded, weight.flip(2), dilation=dilation, groups=channels)
        if ctx.needs_input_grad[1]:
            taps = [x.narrow(2, tap * dilation, time) for tap in range(kernel)]
            weight_grad = torch.stack([(tap * grad).sum((0, 2)) for tap in taps], 1).unsqueeze(1)
        if ctx.needs_input_grad[2]:
            bias_grad = grad.sum((0, 2))
        return x_grad, weight_grad, bias_grad, None
