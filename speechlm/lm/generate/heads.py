"""Output heads: from the outputs of the backbone to logits of the codebooks and of text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from speechlm.kernels.cached_transformer import CachedProjection, cached_transformer
from speechlm.lm.generate.guidance import CFGBranches
from speechlm.lm.model import UnitLM
from speechlm.nn import CachedTransformer


class OutputHeads:
    """The output matrices of a model, each restricted to the ids that are valid where it is used.

    Logits of other ids are never computed.
    """

    def __init__(self, model: UnitLM):
        ids = model.config.ids
        self.output = model.output.detach()
        self.num_codebooks, self.codebook_size = ids.num_codebooks, ids.codebook_size
        self.pad = ids.pad
        self.rows, self.pattern = model.pattern.rows, model.pattern
        self.device = self.output.device
        self.firsts = [
            model.first + level * ids.codebook_size for level in range(ids.num_codebooks)
        ]
        self.depth: CachedTransformer | None = None
        if model.depth is not None:
            self.depth = cached_transformer(model.depth.transformer)
            self.input_proj = CachedProjection(model.depth.enter.weight)
            self.embedding = model.depth.embedding.weight.detach()
            self.lower = [CachedProjection(weight) for weight in model.depth.heads.detach()]
        else:
            self.lower = [
                self.projection(self.unit_ids(level)) for level in range(1, ids.num_codebooks)
            ]

    def unit_ids(self, level: int) -> range:
        """Ids of the units of a level."""
        return range(self.firsts[level], self.firsts[level] + self.codebook_size)

    def projection(self, ids: Sequence[int]) -> CachedProjection:
        """The projection to the logits of ``ids``."""
        return CachedProjection(self.output[torch.tensor(ids, device=self.device)])


class LowerHeads:
    """Logits of the codebooks below the first, from the outputs of the backbone."""

    def __init__(self, heads: OutputHeads, branches: CFGBranches):
        self.heads, self.branches = heads, branches

    def begin(self, h: Tensor) -> None:
        """Take the outputs (branches * batch, dim) that predict a column."""
        self.h = h

    def __call__(self, codebook: int, above: Tensor) -> Tensor:
        """Logits (rows, n), given the codes (batch,) of the frame's codebook above."""
        return self.heads.lower[codebook - 1](self.branches.acoustic(self.h))


class DepthHeads(LowerHeads):
    """Logits of the codebooks below the first, by the depth transformer."""

    def __init__(self, heads: OutputHeads, branches: CFGBranches, depth: CachedTransformer, n: int):
        super().__init__(heads, branches)
        self.steps = depth.new_state(min(branches.count, 2) * n, heads.num_codebooks - 1)

    def begin(self, h: Tensor) -> None:
        self.steps.reset()
        self.entered = self.heads.input_proj(self.branches.acoustic(h))

    def __call__(self, codebook: int, above: Tensor) -> Tensor:
        heads = self.heads
        embedded = heads.embedding[above + (codebook - 1) * heads.codebook_size]
        if len(embedded) < len(self.entered):
            seen = codebook > 1 or not self.branches.no_semantic
            reduced = embedded if seen else torch.zeros_like(embedded)
            embedded = torch.cat([embedded, reduced])
        return heads.lower[codebook - 1](self.steps.step(self.entered + embedded))


def lower_heads(heads: OutputHeads, branches: CFGBranches, batch: int) -> LowerHeads:
    """The heads of the codebooks below the first, with the state of a depth transformer."""
    if heads.depth is None:
        return LowerHeads(heads, branches)
    return DepthHeads(heads, branches, heads.depth, batch)
