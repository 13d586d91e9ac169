"""Incremental decoding of a transformer with a key-value cache."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.nn.transformer import Block, Transformer, apply_rotary, rotary_freqs


class CachedTransformer:
    """The weights of a :class:`Transformer`, laid out for decoding position by position.

    The cost of a position is the number of calls and the reading of weights. So the weights of a
    norm are folded into the matrix after it, and matrices are transposed, which makes products with
    a vector fastest. They are copies, made once for any number of :meth:`new_state`.
    """

    def __init__(self, transformer: Transformer):
        first = transformer.layers[0]
        self.heads, self.kv_heads = first.heads, first.kv_heads
        self.head_dim, self.dim = first.head_dim, first.out.in_features
        self.rope_theta = transformer.rope_theta
        self.norm_eps = transformer.norm.eps or 0.0
        self.norm = transformer.norm.weight.detach()
        self.layers = [LayerWeights(block) for block in transformer.layers]

    def new_state(self, batch: int, capacity: int) -> DecodingState:
        """The state of a batch of empty sequences, with a cache of ``capacity`` positions each."""
        return DecodingState(self, batch, capacity)

    def rotary_factors(self, capacity: int) -> Tensor:
        """Complex rotary factors (capacity, heads of q, k and v times head_dim / 2).

        The attention scale is folded into those of queries; the factors of values are 1.
        """
        factors = rotary_freqs(
            self.head_dim, self.rope_theta, torch.arange(capacity, device=self.norm.device)
        )
        parts = [factors * self.head_dim**-0.5] * self.heads + [factors] * self.kv_heads
        return torch.cat(parts + [torch.ones_like(factors)] * self.kv_heads, dim=1)


class LayerWeights:
    """The matrices of a block, transposed."""

    def __init__(self, block: Block):
        self.qkv = contiguous_transpose(block.qkv.weight * block.attention_norm.weight)
        self.out = contiguous_transpose(block.out.weight)
        self.gate_up = contiguous_transpose(block.gate_up.weight * block.mlp_norm.weight)
        self.down = contiguous_transpose(block.down.weight)


def contiguous_transpose(weight: Tensor) -> Tensor:
    """A contiguous copy (in, out) of a matrix (out, in)."""
    return weight.detach().t().contiguous()


class KVCache:
    """Keys and values of a layer (2, batch * kv_heads, positions, head_dim), and views of them."""

    def __init__(self, cache: Tensor, heads: int):
        self.cache = cache
        self.slots = cache.unflatten(1, (-1, heads))
        self.keys = cache[0].transpose(1, 2)
        self.values = cache[1]


class DecodingState:
    """The state of a transformer over a batch of growing sequences.

    :meth:`prefill` reads the prompts, which may differ in length; :meth:`step` appends a position
    to each sequence. Prompts are padded on the left, so all sequences end in the same slot of the
    cache; the padding is masked. A step writes one slot.
    """

    def __init__(self, decoder: CachedTransformer, batch: int, capacity: int):
        self.decoder, self.batch, self.capacity = decoder, batch, capacity
        norm = decoder.norm
        shape = (2, batch * decoder.kv_heads, capacity, decoder.head_dim)
        self.layers = [
            (layer, KVCache(norm.new_zeros(shape), decoder.kv_heads)) for layer in decoder.layers
        ]
        self.rotary_factors = decoder.rotary_factors(capacity)
        self.slot = 0
        self.starts = torch.zeros(batch, dtype=torch.int64, device=norm.device)
        self.pad_mask: Tensor | None = None

    def reset(self) -> None:
        """Empty the cache; the sequences have equal lengths from here on."""
        self.slot = 0
        self.pad_mask = None

    @torch.inference_mode()
    def prefill(self, prompts: list[Tensor]) -> Tensor:
        """Read prompts (time, dim); returns the output (batch, dim) at the last position of each.

        A prompt that several sequences share (the same tensor) is computed once.

        Raises:
            ValueError: unless there is one prompt per sequence, of 1 to ``capacity`` positions.
        """
        lengths = [len(prompt) for prompt in prompts]
        if len(lengths) != self.batch or not 1 <= min(lengths) <= max(lengths) <= self.capacity:
            raise ValueError(
                f"prompts of {lengths} positions: not {self.batch} of 1 to {self.capacity}"
            )
        self.slot = max(lengths)
        self.starts = torch.tensor([self.slot - length for length in lengths]).to(
            self.starts.device
        )
        self.pad_mask = None
        if min(lengths) < self.slot:
            slots = torch.arange(self.capacity, device=self.starts.device)
            self.pad_mask = (slots < self.starts[:, None]).unsqueeze(1)
        last: list[Tensor] = []
        for row, prompt in enumerate(prompts):
            same = next(other for other in range(row + 1) if prompts[other] is prompt)
            last.append(self._prefill(row, prompt)[-1] if same == row else last[same])
            for _, kv_cache in self.layers if same != row else ():
                filled = kv_cache.cache.unflatten(1, (self.batch, -1))[:, :, :, : self.slot]
                filled[:, row] = filled[:, same]
        return torch.stack(last)

    def _prefill(self, row: int, x: Tensor) -> Tensor:
        decoder, time = self.decoder, len(x)
        heads, kv_heads = decoder.heads, decoder.kv_heads
        own = slice(row * kv_heads, (row + 1) * kv_heads)
        for layer, kv_cache in self.layers:
            qkv = self._qkv(layer, x, self.rotary_factors[:time])
            kv = kv_cache.cache[:, own, self.slot - time : self.slot]
            kv.copy_(qkv[:, heads:].unflatten(1, (2, kv_heads)).permute(1, 2, 0, 3))
            y = F.scaled_dot_product_attention(
                qkv[:, :heads].transpose(0, 1)[None],
                kv[0, None],
                kv[1, None],
                is_causal=True,
                scale=1.0,
                enable_gqa=heads != kv_heads,
            )
            x = self._output_and_ffn(layer, x, y[0].transpose(0, 1).reshape(time, -1))
        return self._rms_normalize(x) * decoder.norm

    @torch.inference_mode()
    def step(self, x: Tensor) -> Tensor:
        """Append a position: input and output (batch, dim).

        Raises:
            ValueError: when the cache is full.
        """
        slot = self.slot
        if slot == self.capacity:
            raise ValueError(f"all {self.capacity} positions are taken")
        self.slot = length = slot + 1
        pad_mask = self.pad_mask
        factors = (
            self.rotary_factors[slot]
            if pad_mask is None
            else self.rotary_factors[slot - self.starts]
        )
        if pad_mask is not None:
            pad_mask = pad_mask[:, :, :length]
        decoder, batch = self.decoder, self.batch
        heads, kv_heads, head_dim = decoder.heads, decoder.kv_heads, decoder.head_dim
        grouped = (batch * kv_heads, heads // kv_heads, head_dim)
        for layer, kv_cache in self.layers:
            qkv = self._qkv(layer, x, factors)
            kv = qkv[:, heads:].view(batch, 2, kv_heads, head_dim).transpose(0, 1)
            kv_cache.slots.select(3, slot).copy_(kv)
            q = qkv[:, :heads].reshape(grouped)
            scores = torch.bmm(q, kv_cache.keys.narrow(2, 0, length))
            if pad_mask is not None:
                scores.view(batch, heads, length).masked_fill_(pad_mask, -torch.inf)
            y = torch.bmm(scores.softmax(2), kv_cache.values.narrow(1, 0, length))
            x = self._output_and_ffn(layer, x, y.view(batch, -1))
        return self._rms_normalize(x) * decoder.norm

    @torch.inference_mode()
    def extend(self, x: Tensor) -> Tensor:
        """Append several positions to each sequence: input and output (batch, time, dim).

        Raises:
            ValueError: when the cache does not hold them.
        """
        decoder, (batch, time, _) = self.decoder, x.shape
        start, stop = self.slot, self.slot + time
        if stop > self.capacity:
            raise ValueError(f"{time} positions after {start} exceed {self.capacity}")
        self.slot = stop
        heads, kv_heads = decoder.heads, decoder.kv_heads
        places = torch.arange(start, stop, device=x.device)
        factors = self.rotary_factors[(places - self.starts[:, None]).flatten()]
        slots = torch.arange(stop, device=x.device)
        visible = (slots <= places[:, None]) & (slots >= self.starts[:, None, None])
        y = x.reshape(batch * time, -1)
        for layer, kv_cache in self.layers:
            qkv = self._qkv(layer, y, factors).unflatten(0, (batch, time))
            cache = kv_cache.cache.unflatten(1, (batch, kv_heads))[:, :, :, :stop]
            kv = qkv[:, :, heads:].unflatten(2, (2, kv_heads))
            cache[:, :, :, start:] = kv.permute(2, 0, 3, 1, 4)
            found = F.scaled_dot_product_attention(
                qkv[:, :, :heads].transpose(1, 2),
                cache[0],
                cache[1],
                attn_mask=visible[:, None],
                scale=1.0,
                enable_gqa=heads != kv_heads,
            )
            y = self._output_and_ffn(layer, y, found.transpose(1, 2).reshape(batch * time, -1))
        return (self._rms_normalize(y) * decoder.norm).unflatten(0, (batch, time))

    def _qkv(self, layer: LayerWeights, x: Tensor, factors: Tensor) -> Tensor:
        """Queries, keys and values (positions, heads, head_dim) with rotary factors applied."""
        qkv = torch.mm(self._rms_normalize(x), layer.qkv)
        if qkv.dtype in (torch.float32, torch.float64):
            torch.view_as_complex(qkv.view(len(x), -1, 2)).mul_(factors)
        else:  # there are no complex numbers of bfloat16
            qkv = apply_rotary(qkv, factors).to(qkv.dtype)
        return qkv.view(len(x), -1, self.decoder.head_dim)

    def _output_and_ffn(self, layer: LayerWeights, x: Tensor, y: Tensor) -> Tensor:
        """Add the projected attention output ``y`` and the output of the MLP to ``x``."""
        x = torch.addmm(x, y, layer.out)
        gate, up = torch.mm(self._rms_normalize(x), layer.gate_up).chunk(2, 1)
        return x.addmm_(F.silu(gate).mul_(up), layer.down)

    def _rms_normalize(self, x: Tensor) -> Tensor:
        """RMSNorm without weight.

        Computed as a LayerNorm of (x, -x), whose mean is zero: PyTorch has a fused call for it.
        """
        decoder = self.decoder
        both = torch.cat((x, -x), 1)
        return torch.layer_norm(both, (2 * decoder.dim,), None, None, decoder.norm_eps)[
            :, : decoder.dim
        ]
