"""Single positions by compiled calls, where the compiler is installed (extra ``live``).

What PyTorch needs for a position of one sequence is mostly the time of its calls, then that of
reading the weights. A block is one call here (:mod:`speechlm.lm.kernels`), which reads weights in
half precision if that is what they have. Prompts and batches are PyTorch's.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from speechlm.kernels import numba_available
from speechlm.nn import CachedTransformer, Transformer
from speechlm.nn.decoding import Decoding, transposed
from speechlm.nn.transformer import turns


def transformer_decoder(transformer: Transformer) -> CachedTransformer:
    """The fastest for where the weights are, and for their precision."""
    compiled = compiles(transformer.norm.weight)
    return CompiledDecoder(transformer) if compiled else CachedTransformer(transformer)


def compiles(weight: Tensor) -> bool:
    """Whether the compiled calls, for the CPU and float32, take such a weight."""
    return numba_available() and weight.device.type == "cpu" and weight.dtype == torch.float32


class CompiledDecoder(CachedTransformer):
    """A :class:`~speechlm.nn.CachedTransformer` that compiles single sequences."""

    def __init__(self, transformer: Transformer):
        from speechlm.nn.kernels import matrix

        super().__init__(transformer)
        self.blocks = [
            (
                block.attention_norm.weight.detach().numpy().copy(),
                matrix(block.qkv.weight),
                matrix(block.out.weight),
                block.mlp_norm.weight.detach().numpy().copy(),
                matrix(block.gate_up.weight),
                matrix(block.down.weight),
            )
            for block in transformer.layers
        ]

    def begin(self, batch: int, capacity: int) -> Decoding:
        return (CompiledDecoding if batch == 1 else Decoding)(self, batch, capacity)


class CompiledDecoding(Decoding):
    """One growing sequence. It shares the memory with what read its start."""

    def __init__(self, decoder: CompiledDecoder, batch: int, capacity: int):
        from speechlm.lm import kernels

        super().__init__(decoder, batch, capacity)
        self.block, self.rms = kernels.block, kernels.rms
        self.weight = decoder.norm.numpy()
        self.blocks = [
            (*weights, memory.cache.numpy())
            for weights, (_, memory) in zip(decoder.blocks, self.layers, strict=True)
        ]
        turn = turns(decoder.head_dim, decoder.rotary, torch.arange(capacity))
        self.rotations = torch.stack([turn.real, turn.imag], dim=1).numpy()

    def step(self, x: Tensor) -> Tensor:
        slot = self.slot
        if slot == self.capacity:
            raise ValueError(f"all {self.capacity} positions are taken")
        self.slot = slot + 1
        epsilon, rotation = self.decoder.epsilon, self.rotations[slot]
        y = x.numpy()[0]
        for block in self.blocks:
            y = self.block(y, *block, slot, rotation, epsilon)
        return torch.from_numpy(self.rms(y, self.weight, epsilon)[None])


class Product:
    """Vectors (batch, in) times a matrix (out, in)."""

    def __init__(self, weight: Tensor):
        self.weight = weight
        self.compiled = None
        if compiles(weight):
            from speechlm.nn.kernels import matrix, product

            self.compiled, self.matrix = product, matrix(weight)

    @cached_property
    def transposed(self) -> Tensor:
        """The matrix as PyTorch multiplies it fastest."""
        return transposed(self.weight)

    def __call__(self, x: Tensor) -> Tensor:
        if self.compiled is not None and len(x) == 1:
            return torch.from_numpy(self.compiled(self.matrix, x.numpy()[0])[None])
        return torch.mm(x, self.transposed)
