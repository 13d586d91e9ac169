"""Decoding of a single sequence by compiled calls (extra ``live``: numba).

In PyTorch a position of one sequence costs mostly the overhead of calls, then the reading of
weights. Here a block is one call (:mod:`speechlm.kernels.transformer_block`), which reads weights
in half precision where that is lossless. Prompts and batches are left to PyTorch.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from speechlm.kernels import numba_available
from speechlm.nn import CachedTransformer, Transformer
from speechlm.nn.kv_cache import DecodingState, contiguous_transpose
from speechlm.nn.transformer import rotary_freqs


def cached_transformer(transformer: Transformer) -> CachedTransformer:
    """The fastest incremental decoder for the device and precision of the weights."""
    compiled = can_compile(transformer.norm.weight)
    return CompiledTransformer(transformer) if compiled else CachedTransformer(transformer)


def can_compile(weight: Tensor) -> bool:
    """Whether the compiled calls support ``weight``: float32 on the CPU."""
    return numba_available() and weight.device.type == "cpu" and weight.dtype == torch.float32


class CompiledTransformer(CachedTransformer):
    """A :class:`~speechlm.nn.CachedTransformer` that decodes single sequences by compiled calls."""

    def __init__(self, transformer: Transformer):
        from speechlm.kernels.matvec import compact_matrix

        super().__init__(transformer)
        self.blocks = [
            (
                block.attention_norm.weight.detach().numpy().copy(),
                compact_matrix(block.qkv.weight),
                compact_matrix(block.out.weight),
                block.mlp_norm.weight.detach().numpy().copy(),
                compact_matrix(block.gate_up.weight),
                compact_matrix(block.down.weight),
            )
            for block in transformer.layers
        ]

    def new_state(self, batch: int, capacity: int) -> DecodingState:
        return (CompiledDecodingState if batch == 1 else DecodingState)(self, batch, capacity)


class CompiledDecodingState(DecodingState):
    """The state of one sequence; prompts are read by PyTorch into the same cache."""

    def __init__(self, decoder: CompiledTransformer, batch: int, capacity: int):
        from speechlm.kernels import transformer_block

        super().__init__(decoder, batch, capacity)
        self.block, self.rms = transformer_block.transformer_block, transformer_block.rms_norm
        self.weight = decoder.norm.numpy()
        self.blocks = [
            (*weights, memory.cache.numpy())
            for weights, (_, memory) in zip(decoder.blocks, self.layers, strict=True)
        ]
        turn = rotary_freqs(decoder.head_dim, decoder.rope_theta, torch.arange(capacity))
        self.rotations = torch.stack([turn.real, turn.imag], dim=1).numpy()

    def step(self, x: Tensor) -> Tensor:
        slot = self.slot
        if slot == self.capacity:
            raise ValueError(f"all {self.capacity} positions are taken")
        self.slot = slot + 1
        epsilon, rotation = self.decoder.norm_eps, self.rotations[slot]
        y = x.numpy()[0]
        for block in self.blocks:
            y = self.block(y, *block, slot, rotation, epsilon)
        return torch.from_numpy(self.rms(y, self.weight, epsilon)[None])


class CachedProjection:
    """Products of vectors (batch, in) with a matrix (out, in)."""

    def __init__(self, weight: Tensor):
        self.weight = weight
        self.compiled = None
        if can_compile(weight):
            from speechlm.kernels.matvec import compact_matrix, matvec

            self.compiled, self.matrix = matvec, compact_matrix(weight)

    @cached_property
    def transposed(self) -> Tensor:
        """The matrix (in, out), contiguous, which PyTorch multiplies fastest."""
        return contiguous_transpose(self.weight)

    def __call__(self, x: Tensor) -> Tensor:
        if self.compiled is not None and len(x) == 1:
            return torch.from_numpy(self.compiled(self.matrix, x.numpy()[0])[None])
        return torch.mm(x, self.transposed)
