"""A position of a transformer as one compiled call (extra ``live``: numba).

Matrices (out, in) are read once, in half precision where that loses nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from speechlm.nn.kernels import Matrix, product
from speechlm.types import Float32s


@njit(cache=True, fastmath=True)
def rms(x: Float32s, weight: Float32s, epsilon: float) -> Float32s:
    """RMSNorm of a vector."""
    square = np.float32(0)
    for i in range(len(x)):
        square += x[i] * x[i]
    return x * weight * np.float32(1 / np.sqrt(square / np.float32(len(x)) + epsilon))


@njit(cache=True, fastmath=True)
def attend(q: Float32s, keys: Float32s, values: Float32s) -> Float32s:
    """Attention of a head: ``q`` (dim,), ``keys`` and ``values`` (positions, dim)."""
    positions, dim = keys.shape
    scores = np.empty(positions, np.float32)
    for t in range(positions):
        total = np.float32(0)
        for j in range(dim):
            total += q[j] * keys[t, j]
        scores[t] = total
    highest = scores.max()
    whole = np.float32(0)
    for t in range(positions):
        scores[t] = np.exp(scores[t] - highest)
        whole += scores[t]
    y = np.zeros(dim, np.float32)
    for t in range(positions):
        for j in range(dim):
            y[j] += scores[t] * values[t, j]
    return y / whole


@njit(cache=True, fastmath=True)
def block(
    x: Float32s,
    attention_norm: Float32s,
    qkv: Matrix,
    out: Matrix,
    mlp_norm: Float32s,
    gate_up: Matrix,
    down: Matrix,
    cache: NDArray,
    slot: int,
    turn: Float32s,
    epsilon: float,
) -> Float32s:
    """A block for one position.

    ``cache`` (2, heads of keys, positions, dim) gets the position's keys and values at ``slot``;
    ``turn`` (2, dim / 2) are cosines and sines of its rotation.
    """
    _, kv_heads, _, dim = cache.shape
    y = product(qkv, rms(x, attention_norm, epsilon)).reshape(-1, dim)
    heads = len(y) - 2 * kv_heads
    for h in range(heads + kv_heads):
        for j in range(dim // 2):
            a, b = y[h, 2 * j], y[h, 2 * j + 1]
            y[h, 2 * j] = a * turn[0, j] - b * turn[1, j]
            y[h, 2 * j + 1] = a * turn[1, j] + b * turn[0, j]
    for h in range(kv_heads):
        cache[0, h, slot] = y[heads + h]
        cache[1, h, slot] = y[heads + kv_heads + h]
    scale = np.float32(1 / np.sqrt(dim))
    found = np.empty(heads * dim, np.float32)
    for h in range(heads):
        group = h // (heads // kv_heads)
        found[h * dim : (h + 1) * dim] = attend(
            y[h] * scale, cache[0, group, : slot + 1], cache[1, group, : slot + 1]
        )
    x = x + product(out, found)
    gated = product(gate_up, rms(x, mlp_norm, epsilon))
    hidden = len(gated) // 2
    for i in range(hidden):
        gated[i] = gated[i] / (np.float32(1) + np.exp(-gated[i])) * gated[hidden + i]
    return x + product(down, gated[:hidden])
