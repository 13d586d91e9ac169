"""A transformer one position at a time, as fast as single calls of PyTorch allow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.nn.transformer import Block, Transformer, turns


class Decoding:
    """The state of a :class:`Transformer` over a batch of growing sequences.

    Memory for ``capacity`` positions of ``batch`` sequences is taken once. :meth:`prefill` reads
    the starts of the sequences, which may differ in length; :meth:`step` adds a position to each.
    Sequences end in the same slot: a shorter one begins in a later slot, and what stands before it
    is masked. So a step writes one slot, whatever the lengths.

    For a single position, what costs is the number of calls and the reading of weights. The weights
    are therefore copied: those of a norm multiplied into the matrix after it, transposed, as a
    vector is multiplied fastest. Rotations are looked up, and hold the scale of the attention.
    """

    def __init__(self, transformer: Transformer, batch: int, capacity: int):
        first = transformer.layers[0]
        weight = first.qkv.weight
        self.batch, self.capacity = batch, capacity
        self.heads, self.kv_heads = first.heads, first.kv_heads
        self.head_dim, self.dim = first.head_dim, first.out.in_features
        self.epsilon = transformer.norm.eps or 0.0
        self.norm = transformer.norm.weight.detach()
        shape = (2, batch * self.kv_heads, capacity, self.head_dim)
        self.layers = [_Layer(block, weight.new_zeros(shape)) for block in transformer.layers]
        self.turns = self._turns(transformer, weight.device)
        self.slot = 0
        self.begins = torch.zeros(batch, dtype=torch.int64, device=weight.device)
        self.hidden: Tensor | None = None

    def _turns(self, transformer: Transformer, device: torch.device) -> Tensor:
        """What each pair of a position's queries, keys and values is multiplied with."""
        positions = torch.arange(self.capacity, device=device)
        turn = turns(self.head_dim, transformer.rotary, positions)
        parts = [turn * self.head_dim**-0.5] * self.heads + [turn] * self.kv_heads
        return torch.cat(parts + [torch.ones_like(turn)] * self.kv_heads, dim=1)

    def reset(self) -> None:
        """Forget all positions; for sequences of one length from here on."""
        self.slot = 0
        self.hidden = None

    @torch.inference_mode()
    def prefill(self, prompts: list[Tensor]) -> Tensor:
        """Read the starts (time, dim) of the sequences; the output (batch, dim) at each one's end.

        Raises:
            ValueError: unless there is one of at least a position for each, within the capacity.
        """
        lengths = [len(prompt) for prompt in prompts]
        if len(lengths) != self.batch or not 1 <= min(lengths) <= max(lengths) <= self.capacity:
            raise ValueError(
                f"prompts of {lengths} positions: not {self.batch} of 1 to {self.capacity}"
            )
        self.slot = max(lengths)
        self.begins = torch.tensor([self.slot - length for length in lengths]).to(self.norm.device)
        self.hidden = None
        if min(lengths) < self.slot:
            slots = torch.arange(self.capacity, device=self.norm.device)
            self.hidden = (slots < self.begins[:, None]).unsqueeze(1)
        last = [self._prefill(row, prompt)[-1] for row, prompt in enumerate(prompts)]
        return torch.stack(last)

    def _prefill(self, row: int, x: Tensor) -> Tensor:
        time = len(x)
        head = slice(row * self.kv_heads, (row + 1) * self.kv_heads)
        for layer in self.layers:
            qkv = self._project(layer, x, self.turns[:time])
            kv = layer.cache[:, head, self.slot - time : self.slot]
            kv.copy_(qkv[:, self.heads :].unflatten(1, (2, self.kv_heads)).permute(1, 2, 0, 3))
            y = F.scaled_dot_product_attention(
                qkv[:, : self.heads].transpose(0, 1)[None],
                kv[0, None],
                kv[1, None],
                is_causal=True,
                scale=1.0,
                enable_gqa=self.heads != self.kv_heads,
            )
            x = self._finish(layer, x, y[0].transpose(0, 1).reshape(time, self.dim))
        return self._unit(x) * self.norm

    @torch.inference_mode()
    def step(self, x: Tensor) -> Tensor:
        """Add a position: input and output (batch, dim).

        Raises:
            ValueError: when the capacity is used up.
        """
        slot = self.slot
        if slot == self.capacity:
            raise ValueError(f"all {self.capacity} positions are taken")
        self.slot = length = slot + 1
        hidden = self.hidden
        turn = self.turns[slot] if hidden is None else self.turns[slot - self.begins]
        if hidden is not None:
            hidden = hidden[:, :, :length]
        batch, heads, kv_heads, head_dim = self.batch, self.heads, self.kv_heads, self.head_dim
        grouped = (batch * kv_heads, heads // kv_heads, head_dim)
        for layer in self.layers:
            qkv = self._project(layer, x, turn)
            kv = qkv[:, heads:].view(batch, 2, kv_heads, head_dim).transpose(0, 1)
            layer.slots.select(3, slot).copy_(kv)
            q = qkv[:, :heads].reshape(grouped)
            scores = torch.bmm(q, layer.keys.narrow(2, 0, length))
            if hidden is not None:
                scores.view(batch, heads, length).masked_fill_(hidden, -torch.inf)
            y = torch.bmm(scores.softmax(2), layer.values.narrow(1, 0, length))
            x = self._finish(layer, x, y.view(batch, -1))
        return self._unit(x) * self.norm

    def _project(self, layer: _Layer, x: Tensor, turn: Tensor) -> Tensor:
        """Turned queries, keys and values (positions, heads, head_dim)."""
        qkv = torch.mm(self._unit(x), layer.qkv)
        torch.view_as_complex(qkv.view(len(x), -1, 2)).mul_(turn)
        return qkv.view(len(x), -1, self.head_dim)

    def _finish(self, layer: _Layer, x: Tensor, y: Tensor) -> Tensor:
        """Add to ``x`` what attention found, and the MLP's output."""
        x = torch.addmm(x, y, layer.out)
        gate, up = torch.mm(self._unit(x), layer.gate_up).chunk(2, 1)
        return x.addmm_(F.silu(gate).mul_(up), layer.down)

    def _unit(self, x: Tensor) -> Tensor:
        """Scaled to a mean square of 1: RMSNorm without weight.

        As a LayerNorm of (x, -x), whose mean is zero: PyTorch has one quick call for that one.
        """
        both = torch.cat((x, -x), 1)
        return torch.layer_norm(both, (2 * self.dim,), None, None, self.epsilon)[:, : self.dim]


class _Layer:
    """A block's weights, transposed, and its memory (keys and values, heads, positions, dim)."""

    def __init__(self, block: Block, cache: Tensor):
        self.qkv = _transposed(block.qkv.weight * block.attention_norm.weight)
        self.out = _transposed(block.out.weight)
        self.gate_up = _transposed(block.gate_up.weight * block.mlp_norm.weight)
        self.down = _transposed(block.down.weight)
        self.cache = cache
        self.slots = cache.unflatten(1, (-1, block.kv_heads))
        self.keys = cache[0].transpose(1, 2)
        self.values = cache[1]


def _transposed(weight: Tensor) -> Tensor:
    return weight.detach().t().contiguous()
