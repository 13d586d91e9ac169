"""The entropy model: the probability of each code given the past frames and the levels above it.

A small causal network in integer arithmetic: weights of 8 bits, activations of at most 11, sums
exact in any order (:class:`IntegerLinear`), and clipping between them. So no two machines differ.

- The input of a frame is the sum of the embeddings of its codes and of their number.
- The trunk runs over frames. Layer i takes its input of this frame and of ``2**i`` frames before,
  as in WaveNet (van den Oord et al. 2016), here with residual ReLU layers.
- The head of a level takes the trunk's output of the frame before and the sum of the embeddings of
  the frame's levels that are coded already; a hidden layer gives the scores of its codebook.

Arrays keep the names that published files have: ``enter`` (:meth:`EntropyModel.input_proj`),
``look`` and ``give`` (dilated convolution and residual projection of the trunk), ``join`` and
``score`` (hidden layer and scores of the heads).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from speechlm.bitstream.coders import count_levels
from speechlm.bitstream.entropy.frequencies import PRECISION, from_scores
from speechlm.bitstream.entropy.integer_linear import IntegerLinear, crop
from speechlm.errors import SpeechLMError

FINE = 3  # the trunk adds up in units finer by so many bits than those that its layers read
INPUT = 127  # the largest magnitude of what the trunk's layers and the heads read of the trunk
HIDDEN = 255  # the largest value after a ReLU
SUM = 1023  # the largest magnitude of a sum of embeddings

SHAPES = {
    "embedding": ("num_codebooks", "codebook_size", "width"),
    "number": ("num_codebooks + 1", "width"),
    "enter.weight": ("trunk", "width"),
    "enter.bias": ("trunk",),
    "enter.shift": (),
    "look.weight": ("layers", "hidden", "2 * trunk"),
    "look.bias": ("layers", "hidden"),
    "look.shift": ("layers",),
    "give.weight": ("layers", "trunk", "hidden"),
    "give.bias": ("layers", "trunk"),
    "give.shift": ("layers",),
    "join.weight": ("num_codebooks", "head", "trunk + width"),
    "join.bias": ("num_codebooks", "head"),
    "join.shift": ("num_codebooks",),
    "score.weight": ("num_codebooks", "codebook_size", "head"),
    "score.bias": ("num_codebooks", "codebook_size"),
    "score.shift": ("num_codebooks",),
}
"""The arrays of a model, int8 for tables and weights, int32 for biases and shifts."""


class EntropyModel:
    """Frequencies of codes given their context.

    One frame at a time, as a decoder must, and many at once, as an encoder may, give the same
    numbers.

    Args:
        arrays: as :data:`SHAPES` says, in any memory layout.

    Attributes:
        arrays: as given.
        num_codebooks, codebook_size: of the codes that it knows.
        trunk, width: of a frame in the trunk, and of an embedding.
        reach: frames before one that its scores depend on.
        hash: the first eight hexadecimal digits of a SHA-256 of the arrays.

    Raises:
        ValueError: when arrays are missing, do not fit together or are too large.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        sizes = _check(arrays)
        self.arrays = arrays
        self.hash = _digest(arrays)
        self.num_codebooks, self.codebook_size = sizes["num_codebooks"], sizes["codebook_size"]
        self.trunk, self.width = sizes["trunk"], sizes["width"]
        embedding = np.ascontiguousarray(arrays["embedding"], np.float32)
        self._embedding = np.pad(embedding, ((0, 0), (0, 1), (0, 0)))  # place -1 is no code's
        self._number = np.ascontiguousarray(arrays["number"], np.float32)

        def linear(name: str, most: int | np.ndarray, index: int | tuple[()] = ()) -> IntegerLinear:
            parts = (arrays[f"{name}.{part}"][index] for part in ("weight", "bias", "shift"))
            weight, bias, shift = parts
            return IntegerLinear(weight, bias, int(shift), most)

        self.reach = 2 ** sizes["layers"]
        self._input_proj = linear("enter", SUM)
        self._dilated_conv = [linear("look", INPUT, i) for i in range(sizes["layers"])]
        self._residual_proj = [linear("give", HIDDEN, i) for i in range(sizes["layers"])]
        read = np.repeat([INPUT, SUM], [self.trunk, self.width])
        self._head_hidden = [linear("join", read, k) for k in range(self.num_codebooks)]
        self._head_logits = [linear("score", HIDDEN, k) for k in range(self.num_codebooks)]

    @classmethod
    def load(cls, path: str | Path) -> tuple[EntropyModel, dict[str, str]]:
        """Load a model and its metadata from a safetensors file.

        Raises:
            SpeechLMError: when the file cannot be read or holds no such model.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return cls(arrays), file.metadata() or {}
        except (SafetensorError, OSError, ValueError) as error:
            raise SpeechLMError(f"{path}: {error}") from None

    def initial_history(self) -> list[np.ndarray]:
        """The trunk's history at the start of a chunk: the last inputs (2**i, trunk) of layer i."""
        return [np.zeros((2**i, self.trunk), np.float32) for i in range(len(self._dilated_conv))]

    def embed(self, level: int, codes: np.ndarray) -> np.ndarray:
        """Embeddings, float32 (n, width), of ``codes`` (n,) of a level; zeros of -1, an absent one.

        They are added up over the levels of a frame.
        """
        return self._embedding[level].take(codes, axis=0, mode="wrap")

    def input_proj(self, total: np.ndarray, number: np.ndarray) -> np.ndarray:
        """The input of the trunk (n, trunk) for n frames.

        ``total`` (n, width) is the sum of a frame's embeddings, ``number`` (n,) that of its levels.
        """
        return self._input_proj(crop(total + self._number[number], -SUM, SUM))

    def trunk_outputs(self, history: list[np.ndarray], before: np.ndarray) -> np.ndarray:
        """The trunk's output (n, trunk) for n frames in a row, from the frame before each.

        ``before`` (n, trunk) are outputs of :meth:`input_proj`, zeros before the first of a chunk.
        ``history`` is that of the frames up to here, and is updated.
        """
        x = before
        for i, (conv, proj) in enumerate(zip(self._dilated_conv, self._residual_proj, strict=True)):
            line = np.concatenate([history[i], _read(x)])
            history[i] = line[len(x) :]
            pair = np.concatenate([line[2**i :], line[: len(x)]], axis=1)
            x = x + proj(crop(conv(pair), 0, HIDDEN))
        return _read(x)

    def scores(self, level: int, seen: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Scores, in sixteenths of a bit, float32 (n, codebook_size), of a level's codes in n
        frames.

        ``seen`` (n, trunk) is the trunk's output, ``below`` (n, width) the sum of the embeddings of
        the levels below.
        """
        read = np.concatenate([seen, crop(below, -SUM, SUM)], axis=1)
        return self._head_logits[level](crop(self._head_hidden[level](read), 0, HIDDEN))

    def expected_probs(self, codes: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (codebook_size,), of level 0's codes in the frame after ``codes``.

        These are (codebooks, frames), from the start of a chunk or later, and may be ragged.
        """
        total = np.zeros((codes.shape[1], self.width), np.float32)
        for level, row in enumerate(codes):
            total = total + self.embed(level, row)
        entered = self.input_proj(total, count_levels(codes))
        before = np.concatenate([np.zeros((1, self.trunk), np.float32), entered])
        seen = self.trunk_outputs(self.initial_history(), before)[-1:]
        frequencies = self.frequencies(0, seen, np.zeros((1, self.width), np.float32))
        return (frequencies[0].astype(np.float64) + 1) / (1 << PRECISION)

    def frequencies(self, level: int, seen: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Frequencies less one, float32 (n, codebook_size), by the :meth:`scores`."""
        return from_scores(self.scores(level, seen, below))


def _read(x: np.ndarray) -> np.ndarray:
    return crop(np.rint(x * np.float32(2.0**-FINE)), -INPUT, INPUT)


def _check(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes that the arrays' shapes agree on."""
    sizes: dict[str, int] = {}
    for name, terms in SHAPES.items():
        if name not in arrays:
            raise ValueError(f"has no {name}")
        array = arrays[name]
        kind = np.int32 if name.endswith(("bias", "shift")) else np.int8
        if array.dtype != kind or array.ndim != len(terms):
            raise ValueError(f"{name} is not {np.dtype(kind)} ({', '.join(terms)})")
        for term, size in zip(terms, array.shape, strict=True):
            if size < 1 or sizes.setdefault(term, size) != size:
                raise ValueError(f"{name} is not ({', '.join(terms)})")
    wanted = {
        "num_codebooks + 1": sizes["num_codebooks"] + 1,
        "2 * trunk": 2 * sizes["trunk"],
        "trunk + width": sizes["trunk"] + sizes["width"],
    }
    for term, size in wanted.items():
        if sizes[term] != size:
            raise ValueError(f"{sizes[term]} is not {term}")
    if not 2 <= sizes["codebook_size"] <= 1 << 16 or sizes["layers"] > 10:
        raise ValueError("has a codebook of fewer than 2 or more than 2**16 entries, or 11 layers")
    return sizes


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(SHAPES):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:8]
