"""A position of a transformer as one compiled call (extra ``live``: numba).

Matrices (out, in) are read once, in half precision where that loses nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlm.kernels.matvec import Matrix, matvec
from speechlm.types import Float32s


@njit(cache=True, fastmath=True)
def rms_norm(x: Float32s, weight: Float32s, norm_eps: float) -> Float32s:
    """RMSNorm of a vector."""
    square = np.float32(0)
    for i in range(len(x)):
        square += x[i] * x[i]
    return x * weight * np.float32(1 / np.sqrt(square / np.float32(len(x)) + norm_eps))


@njit(cache=True, fastmath=True)
def attention(q: Float32s, keys: Float32s, values: Float32s) -> Float32s:
    """Attention of a head: ``q`` (dim,), ``keys`` and ``values`` (positions, dim)."""
    positions, dim = keys.shape
    scores = np.empty(positions, np.float32)
    for t in range(positions):
        total = np.float32(0)
        for j in range(dim):
            total += q[j] * keys[t, j]
        scores[t] = total
    highest = scores.max()
    total = np.float32(0)
    for t in range(positions):
        scores[t] = np.exp(scores[t] - highest)
        total += scores[t]
    y = np.zeros(dim, np.float32)
    for t in range(positions):
        for j in range(dim):
            y[j] += scores[t] * values[t, j]
    return y / total


@njit(cache=True, fastmath=True)
def transformer_block(
    x: Float32s,
    attention_norm: Float32s,
    qkv: Matrix,
    out: Matrix,
    mlp_norm: Float32s,
    gate_up: Matrix,
    down: Matrix,
    cache: NDArray,
    slot: int,
    rotation: Float32s,
    norm_eps: float,
) -> Float32s:
    """A block for one position.

    ``cache`` (2, heads of keys, positions, dim) gets the position's keys and values at ``slot``;
    ``rotation`` (2, dim / 2) are cosines and sines of its rotation.
    """
    _, kv_heads, _, dim = cache.shape
    y = matvec(qkv, rms_norm(x, attention_norm, norm_eps)).reshape(-1, dim)
    heads = len(y) - 2 * kv_heads
    for h in range(heads + kv_heads):
        for j in range(dim // 2):
            a, b = y[h, 2 * j], y[h, 2 * j + 1]
            y[h, 2 * j] = a * rotation[0, j] - b * rotation[1, j]
            y[h, 2 * j + 1] = a * rotation[1, j] + b * rotation[0, j]
    for h in range(kv_heads):
        cache[0, h, slot] = y[heads + h]
        cache[1, h, slot] = y[heads + kv_heads + h]
    scale = np.float32(1 / np.sqrt(dim))
    attended = np.empty(heads * dim, np.float32)
    for h in range(heads):
        group = h // (heads // kv_heads)
        attended[h * dim : (h + 1) * dim] = attention(
            y[h] * scale, cache[0, group, : slot + 1], cache[1, group, : slot + 1]
        )
    x = x + matvec(out, attended)
    gated = matvec(gate_up, rms_norm(x, mlp_norm, norm_eps))
    ffn_dim = len(gated) // 2
    for i in range(ffn_dim):
        gated[i] = gated[i] / (np.float32(1) + np.exp(-gated[i])) * gated[ffn_dim + i]
    return x + matvec(down, gated[:ffn_dim])
