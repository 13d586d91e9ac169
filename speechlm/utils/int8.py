"""Matrices in eight bits: whole numbers of -127 to 127, and a scale for each row.

A scale has four significant bits. With the seven of a whole number these are the eleven of half
precision, so what is unpacked is exact in half precision: all that reads weights so is as fast as
ever, and packing again gives the same bits. The four cost a row 4 % of its steps on average.
"""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 127
ROW = 16
"""A row has so many elements, or its scale would cost too much."""
NAME = 128
"""Bytes, about, that another tensor costs a file before its first element."""
TINY = 2.0**-24
"""The least number of half precision."""
LARGE = 2.0**15
"""From here on, what is unpacked might be more than half precision holds."""


def pays(value: Tensor) -> bool:
    """Whether ``value`` can be packed, and is then smaller than in half precision."""
    if value.dim() < 2 or not value.is_floating_point():
        return False
    rows = value.shape[: _axis(value)].numel()
    saved = value.numel() - 2 * rows
    fits = value.numel() >= ROW * rows and saved > NAME
    return fits and bool((value.abs() < LARGE).all())  # not so of NaN


def pack(value: Tensor) -> tuple[Tensor, Tensor]:
    """``value``, which :func:`pays`, as int8 of its shape, and the rows' scales in half precision.

    Rows are as many of the last axes as have ``ROW`` elements together; scales have the shape of
    the axes before. No element is off by more than half its row's scale.
    """
    rows = value.detach().cpu().double().contiguous().flatten(_axis(value))
    most = rows.abs().amax(-1, keepdim=True)
    scale = _rounded_up(most / MOST)
    # The largest may come down by rounding, and then ask for a smaller scale when packed again.
    # With that one it rounds to 127 at most, for every number of four bits (the tests try all).
    scale = _rounded_up((most / scale).round() * scale / MOST)
    whole = (rows / scale).round().to(torch.int8)
    return whole.view(value.shape), scale.squeeze(-1).half()


def unpack(whole: Tensor, scale: Tensor) -> Tensor:
    """The inverse of :func:`pack`, in float32.

    Raises:
        ValueError: when the two are not of one tensor.
    """
    if whole.dtype != torch.int8 or scale.shape != whole.shape[: scale.dim()]:
        raise ValueError(f"scales {tuple(scale.shape)} of {whole.dtype} {tuple(whole.shape)}")
    inner = (1,) * (whole.dim() - scale.dim())
    return whole.float() * scale.float().view(*scale.shape, *inner)


def _axis(value: Tensor) -> int:
    """The axis that a row begins with."""
    axis = value.dim() - 1
    while axis > 1 and value.shape[axis:].numel() < ROW:
        axis -= 1
    return axis


def _rounded_up(scale: Tensor) -> Tensor:
    """``scale``, in doubles, to four significant bits that half precision has; never zero."""
    step = torch.ldexp(torch.ones_like(scale), scale.frexp().exponent - 4).clamp_min(TINY)
    return ((scale / step).ceil() * step).clamp_min(TINY)
