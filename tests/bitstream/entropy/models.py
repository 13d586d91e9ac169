"""Small entropy models whose weights follow from a formula, and codes for them."""

from __future__ import annotations

import numpy as np

from speechlm.bitstream import ABSENT
from speechlm.bitstream.entropy import EntropyModel


def arrays(
    num_codebooks: int = 4,
    codebook_size: int = 32,
    width: int = 6,
    trunk: int = 8,
    hidden: int = 10,
    layers: int = 3,
    head: int = 7,
    seed: int = 1,
) -> dict[str, np.ndarray]:
    """Weights by a congruential generator, which is the same in every version of everything."""
    state = seed

    def draw(most: int, *shape: int) -> np.ndarray:
        nonlocal state
        values = []
        for _ in range(int(np.prod(shape, dtype=int))):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            values.append((state >> 33) % (2 * most + 1) - most)
        return np.array(values, np.int64).reshape(shape)

    def weight(*shape: int) -> np.ndarray:
        return draw(127, *shape).astype(np.int8)

    def bias(*shape: int) -> np.ndarray:
        return draw(2000, *shape).astype(np.int32)

    def shift(value: int, *shape: int) -> np.ndarray:
        return np.full(shape, value, np.int32)

    return {
        "embedding": weight(num_codebooks, codebook_size, width),
        "number": weight(num_codebooks + 1, width),
        "enter.weight": weight(trunk, width),
        "enter.bias": bias(trunk),
        "enter.shift": shift(5),
        "look.weight": weight(layers, hidden, 2 * trunk),
        "look.bias": bias(layers, hidden),
        "look.shift": shift(8, layers),
        "give.weight": weight(layers, trunk, hidden),
        "give.bias": bias(layers, trunk),
        "give.shift": shift(6, layers),
        "join.weight": weight(num_codebooks, head, trunk + width),
        "join.bias": bias(num_codebooks, head),
        "join.shift": shift(8, num_codebooks),
        "score.weight": weight(num_codebooks, codebook_size, head),
        "score.bias": bias(num_codebooks, codebook_size),
        "score.shift": shift(7, num_codebooks),
    }


def model(**sizes: int) -> EntropyModel:
    return EntropyModel(arrays(**sizes))


def likely_codes(
    chosen: EntropyModel, num_codebooks: int, frames: int, seed: int = 0
) -> np.ndarray:
    """Codes (codebooks, frames) that the model finds likely: drawn from it, frame after frame."""
    random = np.random.default_rng(seed)
    codes = np.zeros((num_codebooks, frames), np.int64)
    history, last = chosen.initial_history(), np.zeros((1, chosen.trunk), np.float32)
    for frame in range(frames):
        seen = chosen.trunk_outputs(history, last)
        below = np.zeros((1, chosen.width), np.float32)
        for k in range(num_codebooks):
            share = chosen.frequencies(k, seen, below)[0].astype(np.float64) + 1
            codes[k, frame] = random.choice(chosen.codebook_size, p=share / share.sum())
            below = below + chosen.embed(k, codes[k : k + 1, frame])
        last = chosen.input_proj(below, np.array([num_codebooks]))
    return codes


def random_codes(num_codebooks: int, frames: int, codebook_size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, codebook_size, (num_codebooks, frames))


def cut(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Ragged codes: a random number of levels, none as well, kept of each frame."""
    num_codebooks, frames = codes.shape
    kept = np.random.default_rng(seed).integers(0, num_codebooks + 1, frames)
    return np.where(np.arange(num_codebooks)[:, None] < kept, codes, ABSENT)
