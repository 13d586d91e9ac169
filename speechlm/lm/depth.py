"""The small transformer over the levels of a frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speechlm.lm.config import DepthConfig, IdsConfig
from speechlm.nn import PackedSequences, Transformer


class DepthTransformer(nn.Module):
    """Levels 1 and up of a frame, from the backbone's output and the levels above.

    As in RQ-Transformer (Lee et al. 2022) and Moshi (Défossez et al. 2024): a sequence as long as
    there are levels, begun anew in each frame. Its position k sees the backbone's output and the
    units of levels 0 to k, and predicts level k + 1::

        backbone's output + a     + b     + c
                            |       |       |
                            b       c       d

    (Level 0 is predicted by the backbone itself, in competition with text and special tokens.)
    """

    def __init__(self, dim: int, config: DepthConfig, ids: IdsConfig, dropout: float):
        super().__init__()
        self.num_codebooks, self.codebook_size = ids.num_codebooks, ids.codebook_size
        self.first = ids.specials + ids.text
        self.enter = nn.Linear(dim, config.dim, bias=False)
        self.embedding = nn.Embedding((ids.num_codebooks - 1) * ids.codebook_size, config.dim)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.transformer = Transformer(
            config.dim,
            config.num_layers,
            config.num_heads,
            config.num_heads,
            config.ffn_dim,
            dropout,
        )
        self.heads = nn.Parameter(
            torch.randn(ids.num_codebooks - 1, ids.codebook_size, config.dim) * config.dim**-0.5
        )

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings (..., dim of depth) of joint ids (...) of units, not of the last level.

        Zeros for what is no unit: a level that is not told.
        """
        embeddings: Tensor = self.embedding((ids - self.first).clamp(min=0))
        return embeddings * (ids >= self.first).unsqueeze(-1)

    def forward(self, h: Tensor, ids: Tensor) -> Tensor:
        """What predicts levels 1 and up: (frames, codebooks - 1, dim of depth).

        ``h`` (frames, dim) is the backbone's output before each frame, ``ids`` (frames, codebooks -
        1) are the joint ids of the frame's units in all levels but the last.
        """
        x = self.enter(h).unsqueeze(1) + self.embed(ids)
        frames, num_codebooks = ids.shape
        alone = torch.arange(frames, device=ids.device).unsqueeze(1).expand(frames, num_codebooks)
        return self.transformer(x, PackedSequences(alone))
