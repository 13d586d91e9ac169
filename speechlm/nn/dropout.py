"""Dropout of features at all positions of a sequence, and of all features at some positions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SPAN = 10
"""Positions that are dropped together."""


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Zero a ``share`` of the features of ``x`` (batch, time, features), and scale up the rest.

    A feature is dropped in a whole sequence, as in Gal & Ghahramani 2016, "A theoretically grounded
    application of dropout in recurrent neural networks", and AWD-LSTM (Merity et al. 2018): what a
    neighbouring position still has cannot make up for it, as it can in speech. And a mask of one
    number a feature costs nothing, where drawing one a number took a fifth of a step on a CPU.
    """
    if not training or not share:
        return x
    keep = x.new_empty(len(x), 1, x.shape[2]).bernoulli_(1 - share)
    return x * keep.div_(1 - share)


def span_dropout(x: Tensor, share: float, where: Tensor, training: bool) -> Tensor:
    """Zero ``x`` (batch, time, features) in spans of about a ``share`` of the positions ``where``.

    Time masking (SpecAugment, Park et al. 2019): what a model is to tell of a span, it has to know
    from what is around it; at 50 frames a second, the frame before tells nearly all otherwise.

    Args:
        where: bool (batch, time), the positions that may be dropped.
    """
    if not training or not share:
        return x
    begins = (torch.rand(where.shape, device=x.device) < share / SPAN).to(x.dtype)
    dropped = F.max_pool1d(F.pad(begins, (SPAN - 1, 0)), SPAN, 1) > 0
    return x.masked_fill((dropped & where).unsqueeze(2), 0.0)
