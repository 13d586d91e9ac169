"""A transformer one position at a time, as fast as single calls of PyTorch allow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.nn.transformer import Block, Transformer, rotate, turns


class CachedTransformer:
    """The weights of a :class:`Transformer`, as single positions want them.

    What such a position costs is the number of calls and the reading of weights. So the weights of
    a norm are multiplied into the matrix after it, and matrices are transposed: a vector is
    multiplied with them fastest. They are copies, made once for any number of :meth:`begin`.
    """

    def __init__(self, transformer: Transformer):
        first = transformer.layers[0]
        self.heads, self.kv_heads = first.heads, first.kv_heads
        self.head_dim, self.dim = first.head_dim, first.out.in_features
        self.rotary = transformer.rotary
        self.epsilon = transformer.norm.eps or 0.0
        self.norm = transformer.norm.weight.detach()
        self.layers = [_Layer(block) for block in transformer.layers]

    def begin(self, batch: int, capacity: int) -> Decoding:
        """A batch of empty sequences, with memory for ``capacity`` positions of each."""
        return Decoding(self, batch, capacity)

    def turns(self, capacity: int) -> Tensor:
        """What each pair of a position's queries, keys and values is multiplied with.

        The rotation, and for queries also the scale of the attention; 1 for values.
        """
        turn = turns(self.head_dim, self.rotary, torch.arange(capacity, device=self.norm.device))
        parts = [turn * self.head_dim**-0.5] * self.heads + [turn] * self.kv_heads
        return torch.cat(parts + [torch.ones_like(turn)] * self.kv_heads, dim=1)


class _Layer:
    """Matrices of a block, transposed."""

    def __init__(self, block: Block):
        self.qkv = transposed(block.qkv.weight * block.attention_norm.weight)
        self.out = transposed(block.out.weight)
        self.gate_up = transposed(block.gate_up.weight * block.mlp_norm.weight)
        self.down = transposed(block.down.weight)


def transposed(weight: Tensor) -> Tensor:
    """A copy of a matrix (out, in), laid out for vectors from the left."""
    return weight.detach().t().contiguous()


class _Memory:
    """Keys and values (2, batch * heads, positions, dim) of a layer, and views of them."""

    def __init__(self, cache: Tensor, heads: int):
        self.cache = cache
        self.slots = cache.unflatten(1, (-1, heads))
        self.keys = cache[0].transpose(1, 2)
        self.values = cache[1]


class Decoding:
    """The state of a transformer over a batch of growing sequences.

    :meth:`prefill` reads the starts of the sequences, which may differ in length; :meth:`step` adds
    a position to each. All sequences end in the same slot of the memory: a shorter one begins in a
    later slot, and what stands before it is masked. A step writes one slot.
    """

    def __init__(self, decoder: CachedTransformer, batch: int, capacity: int):
        self.decoder, self.batch, self.capacity = decoder, batch, capacity
        norm = decoder.norm
        shape = (2, batch * decoder.kv_heads, capacity, decoder.head_dim)
        self.layers = [
            (layer, _Memory(norm.new_zeros(shape), decoder.kv_heads)) for layer in decoder.layers
        ]
        self.turns = decoder.turns(capacity)
        self.slot = 0
        self.begins = torch.zeros(batch, dtype=torch.int64, device=norm.device)
        self.hidden: Tensor | None = None

    def reset(self) -> None:
        """Forget all positions; for sequences of one length from here on."""
        self.slot = 0
        self.hidden = None

    @torch.inference_mode()
    def prefill(self, prompts: list[Tensor]) -> Tensor:
        """Read the starts (time, dim) of the sequences; the output (batch, dim) at each one's end.

        What several of them share, the same tensor, is read once.

        Raises:
            ValueError: unless there is one of at least a position for each, within the capacity.
        """
        lengths = [len(prompt) for prompt in prompts]
        if len(lengths) != self.batch or not 1 <= min(lengths) <= max(lengths) <= self.capacity:
            raise ValueError(
                f"prompts of {lengths} positions: not {self.batch} of 1 to {self.capacity}"
            )
        self.slot = max(lengths)
        self.begins = torch.tensor([self.slot - length for length in lengths]).to(
            self.begins.device
        )
        self.hidden = None
        if min(lengths) < self.slot:
            slots = torch.arange(self.capacity, device=self.begins.device)
            self.hidden = (slots < self.begins[:, None]).unsqueeze(1)
        last: list[Tensor] = []
        for row, prompt in enumerate(prompts):
            same = next(other for other in range(row + 1) if prompts[other] is prompt)
            last.append(self._prefill(row, prompt)[-1] if same == row else last[same])
            for _, memory in self.layers if same != row else ():
                held = memory.cache.unflatten(1, (self.batch, -1))[:, :, :, : self.slot]
                held[:, row] = held[:, same]
        return torch.stack(last)

    def _prefill(self, row: int, x: Tensor) -> Tensor:
        decoder, time = self.decoder, len(x)
        heads, kv_heads = decoder.heads, decoder.kv_heads
        own = slice(row * kv_heads, (row + 1) * kv_heads)
        for layer, memory in self.layers:
            qkv = self._project(layer, x, self.turns[:time])
            kv = memory.cache[:, own, self.slot - time : self.slot]
            kv.copy_(qkv[:, heads:].unflatten(1, (2, kv_heads)).permute(1, 2, 0, 3))
            y = F.scaled_dot_product_attention(
                qkv[:, :heads].transpose(0, 1)[None],
                kv[0, None],
                kv[1, None],
                is_causal=True,
                scale=1.0,
                enable_gqa=heads != kv_heads,
            )
            x = self._finish(layer, x, y[0].transpose(0, 1).reshape(time, -1))
        return self._unit(x) * decoder.norm

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
        decoder, batch = self.decoder, self.batch
        heads, kv_heads, head_dim = decoder.heads, decoder.kv_heads, decoder.head_dim
        grouped = (batch * kv_heads, heads // kv_heads, head_dim)
        for layer, memory in self.layers:
            qkv = self._project(layer, x, turn)
            kv = qkv[:, heads:].view(batch, 2, kv_heads, head_dim).transpose(0, 1)
            memory.slots.select(3, slot).copy_(kv)
            q = qkv[:, :heads].reshape(grouped)
            scores = torch.bmm(q, memory.keys.narrow(2, 0, length))
            if hidden is not None:
                scores.view(batch, heads, length).masked_fill_(hidden, -torch.inf)
            y = torch.bmm(scores.softmax(2), memory.values.narrow(1, 0, length))
            x = self._finish(layer, x, y.view(batch, -1))
        return self._unit(x) * decoder.norm

    def choose(self, rows: Tensor) -> None:
        """Let each sequence go on as the one of a number (batch,) is now."""
        for _, memory in self.layers:
            held = memory.cache.unflatten(1, (self.batch, -1))[:, :, :, : self.slot]
            held.copy_(held[:, rows])
        self.begins = self.begins[rows]
        if self.hidden is not None:
            self.hidden = self.hidden[rows]

    def _project(self, layer: _Layer, x: Tensor, turn: Tensor) -> Tensor:
        """Turned queries, keys and values (positions, heads, head_dim)."""
        qkv = torch.mm(self._unit(x), layer.qkv)
        if qkv.dtype in (torch.float32, torch.float64):
            torch.view_as_complex(qkv.view(len(x), -1, 2)).mul_(turn)
        else:  # there are no complex numbers of bfloat16
            qkv = rotate(qkv, turn).to(qkv.dtype)
        return qkv.view(len(x), -1, self.decoder.head_dim)

    def _finish(self, layer: _Layer, x: Tensor, y: Tensor) -> Tensor:
        """Add to ``x`` what attention found, and the MLP's output."""
        x = torch.addmm(x, y, layer.out)
        gate, up = torch.mm(self._unit(x), layer.gate_up).chunk(2, 1)
        return x.addmm_(F.silu(gate).mul_(up), layer.down)

    def _unit(self, x: Tensor) -> Tensor:
        """Scaled to a mean square of 1: RMSNorm without weight.

        As a LayerNorm of (x, -x), whose mean is zero: PyTorch has one quick call for that one.
        """
        decoder = self.decoder
        both = torch.cat((x, -x), 1)
        return torch.layer_norm(both, (2 * decoder.dim,), None, None, decoder.epsilon)[
            :, : decoder.dim
        ]
