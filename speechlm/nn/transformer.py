"""A causal transformer of the Llama architecture."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.nn.attention import causal_attention
from speechlm.nn.dropout import dropout
from speechlm.nn.onednn_linear import OneDNNLinear
from speechlm.nn.packed_sequences import PackedSequences


class Transformer(nn.Module):
    """Pre-norm blocks of attention and a gated MLP, and a last norm.

    After Touvron et al. 2023, "LLaMA": RMSNorm, rotary positions (Su et al. 2021), SwiGLU (Shazeer
    2020); with grouped-query attention (Ainslie et al. 2023): ``kv_heads`` heads of keys and values
    serve ``heads`` heads of queries. There are no biases. Input and output (batch, time, dim).

    Matrices that read the same input are one: ``qkv`` and ``gate_up``. Rotation takes neighbours of
    a head as a complex number, as in Meta's code; ``transformers`` takes halves, the same up to the
    order of rows in ``qkv``.

    Raises:
        ValueError: when the sizes do not divide.
    """

    def __init__(
        self,
        dim: int,
        layers: int,
        heads: int,
        kv_heads: int,
        ffn_dim: int,
        dropout: float = 0.0,
        rope_theta: float = 10000.0,
        norm_eps: float = 1e-5,
    ):
        super().__init__()
        if dim % (2 * heads) or heads % kv_heads:
            raise ValueError(
                f"dim {dim} is no even number for each of {heads} heads, or these do not share "
                f"{kv_heads} heads of keys and values evenly"
            )
        self.rope_theta = rope_theta
        self.blocks = nn.ModuleList(
            Block(dim, heads, kv_heads, ffn_dim, dropout, norm_eps) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(dim, norm_eps)
        self._initialize(layers)

    def _initialize(self, layers: int) -> None:
        """Normal weights; smaller where a branch joins, by the number of branches, as in GPT-2."""
        for block in self.blocks:
            for name, weight in block.named_parameters():
                if weight.ndim == 2:
                    joins = name in ("out.weight", "down.weight")
                    nn.init.normal_(weight, std=0.02 / (2 * layers) ** 0.5 if joins else 0.02)

    @property
    def layers(self) -> list[Block]:
        """The blocks, with their type."""
        return cast(list[Block], list(self.blocks))

    def forward(self, x: Tensor, packing: PackedSequences) -> Tensor:
        freqs = rotary_freqs(self.layers[0].head_dim, self.rope_theta, packing.positions).unsqueeze(
            2
        )
        for block in self.blocks:
            x = block(x, freqs, packing)
        return self.norm(x)


class Block(nn.Module):
    """Attention and MLP, each added to its input."""

    def __init__(
        self, dim: int, heads: int, kv_heads: int, ffn_dim: int, dropout: float, norm_eps: float
    ):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, dim // heads
        self.attention_norm = nn.RMSNorm(dim, norm_eps)
        self.qkv = OneDNNLinear(dim, (heads + 2 * kv_heads) * self.head_dim)
        self.out = OneDNNLinear(dim, dim)
        self.mlp_norm = nn.RMSNorm(dim, norm_eps)
        self.gate_up = OneDNNLinear(dim, 2 * ffn_dim)
        self.down = OneDNNLinear(ffn_dim, dim)
        self.dropout = dropout

    def forward(self, x: Tensor, freqs: Tensor, packing: PackedSequences) -> Tensor:
        qkv = self.qkv(self.attention_norm(x)).unflatten(2, (-1, self.head_dim))
        qk, v = qkv.split((self.heads + self.kv_heads, self.kv_heads), dim=2)
        qkv = torch.cat([apply_rotary(qk, freqs).to(v.dtype), v], dim=2)
        x = x + self._drop(self.out(packing.apply(self._attend, qkv)))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=2)
        return x + self._drop(self.down(F.silu(gate) * up))

    def _attend(self, qkv: Tensor) -> Tensor:
        """Causal attention (batch, time, dim) of (batch, time, heads of q, k and v, head_dim)."""
        heads = (self.heads, self.kv_heads, self.kv_heads)
        q, k, v = (part.transpose(1, 2) for part in qkv.split(heads, dim=2))
        return causal_attention(q, k, v).transpose(1, 2).flatten(2)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


def rotary_freqs(head_dim: int, base: float, positions: Tensor) -> Tensor:
    """Rotary positions as complex numbers of length 1: (..., head_dim / 2) for ``positions`` (...).

    The wavelengths grow geometrically from 2 pi to 2 pi times ``base``, as in Su et al. 2021.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device) / head_dim
    angles = positions.unsqueeze(-1).double() * base ** -exponents.double()
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def apply_rotary(heads: Tensor, freqs: Tensor) -> Tensor:
    """Turn (..., head_dim), in float32, pair by pair of neighbours."""
    pairs = torch.view_as_complex(heads.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * freqs).flatten(-2)
