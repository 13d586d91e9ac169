"""Small language models of random weights, of every pattern and backbone."""

from __future__ import annotations

import torch
from torch import Tensor

from speechlm.lm.config import DepthConfig, IdsConfig, LMConfig
from speechlm.lm.model import UnitLM
from speechlm.lm.patterns import PATTERNS

KINDS = tuple(PATTERNS)
IDS = IdsConfig(specials=8, text=12, codebook_size=16, num_codebooks=3)


def config(kind: str = "depth", backbone: str = "llama", ids: IdsConfig = IDS) -> LMConfig:
    return LMConfig(
        name="tiny",
        backbone=backbone,
        dim=32,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        ffn_dim=48,
        dropout=0.0,
        max_position_embeddings=64,
        pattern=kind,
        depth=DepthConfig(dim=16, num_layers=2, num_heads=2, ffn_dim=24),
        ids=ids,
    )


@torch.no_grad()
def model(
    kind: str = "depth", backbone: str = "llama", seed: int = 0, ids: IdsConfig = IDS
) -> UnitLM:
    """A model whose outputs follow its inputs: initial weights leave too much to the last ones."""
    torch.manual_seed(seed)
    made = UnitLM(config(kind, backbone, ids)).eval()
    for weight in made.parameters():
        if weight.ndim > 1:
            weight.add_(0.15 * torch.randn_like(weight))
    made.embedding.weight[made.config.ids.pad] = 0
    return made


def frames(model: UnitLM, number: int, seed: int = 0) -> Tensor:
    """Columns (rows, time) of joint ids of random units."""
    ids = model.config.ids
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(ids.codebook_size, (ids.num_codebooks, number), generator=generator)
    codes += model.first + ids.codebook_size * torch.arange(ids.num_codebooks)[:, None]
    laid = torch.from_numpy(model.pattern.build(codes.numpy()))
    return torch.where(laid < 0, ids.pad, laid)


def text(model: UnitLM, number: int, seed: int = 0) -> Tensor:
    """Columns (rows, time) of random pieces of text."""
    ids = model.config.ids
    generator = torch.Generator().manual_seed(seed)
    columns = torch.full((model.pattern.rows, number), ids.pad)
    columns[0] = torch.randint(ids.specials, model.first, (number,), generator=generator)
    return columns


def special(model: UnitLM, token: int) -> Tensor:
    """A column (rows, 1) of a special token."""
    column = torch.full((model.pattern.rows, 1), model.config.ids.pad)
    column[0] = token
    return column


def example(model: UnitLM, seed: int = 0, length: int = 6) -> Tensor:
    """Text and speech between special tokens."""
    parts = [special(model, 1), text(model, length, seed), special(model, 2)]
    return torch.cat([*parts, frames(model, length, seed), special(model, 3)], dim=1)
