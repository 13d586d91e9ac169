"""The entropy model as it is trained: in floats, with the whole numbers of the shipped one within.

:class:`speechlm.bitstream.entropy.EntropyModel` says what it is. Here everything is in real units:
activations are multiples of 2**-5, and a weight of 8 bits is a multiple of a power of two that the
largest of its matrix sets. With ``whole``, weights and activations are rounded to these and the
gradient passes as if they were not (Bengio et al. 2013; quantization-aware training as in Jacob et
al. 2018); then scores are those of the integer model to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.bitstream.entropy.frequencies import STEPS
from speechlm.bitstream.entropy.model import FINE, HIDDEN, INPUT, SUM

_GRID = 5  # bits of an activation after the point
_SCORE = STEPS.bit_length() - 1  # and of a score
_WEIGHT = 127
_BIAS = 1 << 22


@dataclass
class EntropyModelConfig:
    """Sizes of an entropy model: of an embedding, of a frame in the trunk, of the hidden layer of
    each of its layers, and of the hidden layer of a head."""

    width: int = 48
    trunk: int = 128
    hidden: int = 128
    layers: int = 6
    head: int = 64


class QuantizedEntropyModel(nn.Module):
    """Scores, in bits, of every code given the frames before and the levels below."""

    def __init__(self, config: EntropyModelConfig, num_codebooks: int, codebook_size: int):
        super().__init__()
        self.config = config
        self.num_codebooks = num_codebooks
        self.codebook_size = codebook_size
        width, trunk, head = config.width, config.trunk, config.head
        self.embedding = nn.Parameter(0.1 * torch.randn(num_codebooks, codebook_size, width))
        self.number_entries = nn.Parameter(0.1 * torch.randn(num_codebooks + 1, width))
        self.enter = _Linear(width, trunk, 0.3)
        self.look = nn.ModuleList(_Linear(2 * trunk, config.hidden) for _ in range(config.layers))
        self.give = nn.ModuleList(_Linear(config.hidden, trunk, 0.5) for _ in range(config.layers))
        join = [_Linear(trunk + width, head) for _ in range(num_codebooks)]
        score = [_Linear(head, codebook_size, 0.05) for _ in range(num_codebooks)]
        self.join = cast(Sequence[_Linear], nn.ModuleList(join))
        self.score = cast(Sequence[_Linear], nn.ModuleList(score))

    def forward(
        self, codes: Tensor, whole: bool, drawn: Sequence[int] | None = None, unit: float = 1.0
    ) -> list[Tensor]:
        """Scores (n, codebook_size), in bits times ``unit``, of the n codes that are there.

        ``codes`` (batch, codebooks, frames) hold -1 above a frame's last level. The scores are of
        each of the levels that were ``drawn``; of all when None.
        """
        there = codes >= 0
        tables = _clip(self.embedding, _WEIGHT, whole)
        embedded = torch.stack(
            [table[row.clamp_min(0)] for table, row in zip(tables, codes.unbind(1), strict=True)], 1
        )
        sums = (embedded * there[..., None]).cumsum(1)
        numbers = _clip(self.number_entries, _WEIGHT, whole)[there.sum(1)]
        entered = self.enter((sums[:, -1] + numbers).clamp(-_real(SUM), _real(SUM)), FINE, whole)
        seen = self._trunk(F.pad(entered, (0, 0, 1, 0))[:, :-1], whole)
        scores = []
        for k in range(self.num_codebooks) if drawn is None else drawn:
            place = there[:, k]
            below = sums[:, k - 1] if k else torch.zeros_like(sums[:, 0])
            read = torch.cat([seen, below.clamp(-_real(SUM), _real(SUM))], -1)[place]
            hidden = self.join[k](read, 0, whole).clamp(0, _real(HIDDEN))
            scores.append(self.score[k](hidden, None, whole, unit))
        return scores

    def _trunk(self, x: Tensor, whole: bool) -> Tensor:
        frames = x.shape[1]
        for i, (look, give) in enumerate(zip(self.look, self.give, strict=True)):
            now = _clip(x, INPUT, whole)
            before = F.pad(now, (0, 0, 2**i, 0))[:, :frames]
            hidden = look(torch.cat([now, before], -1), 0, whole).clamp(0, _real(HIDDEN))
            x = x + give(hidden, FINE, whole)
        return _clip(x, INPUT, whole)

    @torch.no_grad()
    def start_from(self, vectors: Tensor, counts: Tensor) -> None:
        """Begin with what need not be learned from the codes, which would take thousands of steps.

        Args:
            vectors: (codebooks, codebook_size, dim) say which codes are alike: embeddings and score
                weights begin as their principal components.
            counts: (codebooks, codebook_size), how often each code occurs: biases begin as that.
        """
        flat = vectors.flatten(0, 1).float()
        axes = torch.linalg.svd(flat.T @ flat)[0][:, : self.config.width]
        parts = vectors.float() @ axes
        kept = parts.shape[2]
        parts = parts / parts.norm(dim=2).mean()
        self.embedding.data[:, :, :kept].copy_(2 * parts)
        kept = min(kept, self.config.head)
        share = (counts + 1) / (counts + 1).double().mean(dim=1, keepdim=True)
        for score, part, bias in zip(self.score, parts, share.log2(), strict=True):
            score.weight.data[:, :kept].copy_(part[:, :kept])
            score.bias.data.copy_(bias)

    @torch.no_grad()
    def arrays(self) -> dict[str, np.ndarray]:
        """The whole numbers, as :class:`speechlm.bitstream.entropy.EntropyModel` takes them."""
        arrays = {
            "embedding": _numbers(self.embedding, _GRID, _WEIGHT).astype(np.int8),
            "number": _numbers(self.number_entries, _GRID, _WEIGHT).astype(np.int8),
        }
        # How much finer than the grid of activations what comes out is.
        for name, finer in (("look", 0), ("give", FINE), ("join", 0), ("score", _SCORE - _GRID)):
            parts = [linear.numbers(finer) for linear in getattr(self, name)]
            for part in ("weight", "bias", "shift"):
                arrays[f"{name}.{part}"] = np.stack([numbers[part] for numbers in parts])
        for part, numbers in self.enter.numbers(FINE).items():
            arrays[f"enter.{part}"] = numbers
        return arrays


class _Linear(nn.Module):
    def __init__(self, inputs: int, outputs: int, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(gain * torch.randn(outputs, inputs) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, finer: int | None, whole: bool, unit: float = 1.0) -> Tensor:
        """The product in ``unit``, in steps finer than the grid by so many bits, or not rounded."""
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if whole:
            bits = self._bits()
            weight = _round(weight, bits).clamp(-_WEIGHT / 2**bits, _WEIGHT / 2**bits)
            bias = _round(bias, bits + _GRID)
        y = F.linear(x * unit, weight, bias * unit)
        return _round(y, _GRID + finer) if whole and finer is not None else y

    def numbers(self, finer: int) -> dict[str, np.ndarray]:
        bits = self._bits()
        return {
            "weight": _numbers(self.weight, bits, _WEIGHT).astype(np.int8),
            "bias": _numbers(self.bias, bits + _GRID, _BIAS).astype(np.int32),
            "shift": np.array(bits - finer, np.int32),
        }

    def _bits(self) -> int:
        """Bits after the point with which the largest weight still fits."""
        largest = float(self.weight.detach().abs().max())
        return max(FINE, min(12, int(np.floor(np.log2(_WEIGHT / max(largest, 1e-9))))))


def _real(number: int) -> float:
    return number / 2**_GRID


def _round(x: Tensor, bits: int) -> Tensor:
    """To ``bits`` bits after the point, with the gradient of the identity."""
    rounded = (x.detach() * 2**bits).round() / 2**bits
    return rounded + (x - x.detach())  # exactly what is rounded, plus zero


def _clip(x: Tensor, most: int, whole: bool) -> Tensor:
    """To ``most`` steps of the grid either way, and to whole ones if asked to."""
    return (_round(x, _GRID) if whole else x).clamp(-_real(most), _real(most))


def _numbers(x: Tensor, bits: int, most: int) -> np.ndarray:
    return (x.detach().double() * 2**bits).round().clamp(-most, most).cpu().numpy()
