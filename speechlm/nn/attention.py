"""Causal attention, by whatever is fastest where it runs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention (batch, heads, time, dim) of queries over keys and values.

    Keys and values (batch, kv heads, time, dim) each serve ``heads / kv heads`` heads of queries in
    a row. Scores are divided by the root of dim.

    PyTorch's kernel is used, but not to train on a CPU: there its backward pass takes three times
    as long in bf16 as two more matrix products do (in float32 it is some 2 ms a layer faster).
    """
    if q.device.type == "cpu" and q.requires_grad:
        return _unfused(q, k, v)
    return F.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1]
    )


def _unfused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    _, heads, time, _ = q.shape
    serves = heads // k.shape[1]

    def together(x: Tensor) -> Tensor:
        """The queries that read the same keys, as one longer run: (batch, kv heads, ...)."""
        return x.unflatten(1, (-1, serves)).flatten(2, 3)

    scores = together(q * q.shape[3] ** -0.5) @ k.mT
    future = torch.full((time, time), -torch.inf, dtype=scores.dtype).triu(1)
    weights = scores.unflatten(2, (serves, time)).add_(future).softmax(4, dtype=scores.dtype)
    return (weights.flatten(2, 3) @ v).view(q.shape)
