"""What a language model in training does not see of what it reads, and still has to go on from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.lm.config import IdsConfig

SPAN = 10
"""Frames that are masked together."""


@dataclass
class MaskingConfig:
    """Shares of the columns that are masked.

    Of speech, spans: time masking (SpecAugment, Park et al. 2019), and of speech whose text is
    given ``said`` instead. At 50 frames a second the frame before tells nearly all; without it, a
    model has to use the text that it is to say. Of text that is to be written, single pieces: the
    texts of hours of speech are soon known by heart, and a model that misses some of what it wrote
    has to listen (word dropout, Bowman et al. 2016). All text that is given, as what to say, is
    hidden in a share ``given`` of the examples: what the model says then is what text is to move it
    away from (classifier-free guidance, Ho and Salimans 2022).
    """

    speech: float = 0.0
    text: float = 0.0
    given: float = 0.0
    said: float | None = None
    """As ``speech`` if there is none."""


def masked(
    tokens: Tensor, mask: Tensor, segments: Tensor, ids: IdsConfig, config: MaskingConfig
) -> Tensor | None:
    """Columns to hide, bool (batch, time), drawn anew; None where nothing is masked.

    Args:
        tokens: joint ids (batch, rows, time).
        mask: of the same shape, what is to be predicted.
        segments: which example a column (batch, time) belongs to, from 0; -1 for none.
    """
    said = config.speech if config.said is None else config.said
    if not (config.speech or config.text or config.given or said):
        return None
    first = ids.specials + ids.text
    speech = (tokens >= first).any(dim=1)
    written = (tokens[:, 0] >= ids.specials) & (tokens[:, 0] < first)
    given, own = written & ~mask[:, 0], segments.clamp(min=0)
    examples = torch.zeros(len(tokens), int(own.max()) + 1, device=tokens.device)
    told = examples.scatter_reduce(1, own, given.float(), "amax").gather(1, own) > 0
    share = torch.where(told, said, config.speech)
    begins = torch.rand(speech.shape, device=tokens.device) < share / SPAN
    spans = F.max_pool1d(F.pad(begins.float(), (SPAN - 1, 0)), SPAN, 1) > 0
    single = torch.rand(speech.shape, device=tokens.device) < config.text
    hidden = (spans & speech) | (single & written & mask[:, 0])
    if config.given:
        chosen = torch.rand(examples.shape, device=tokens.device) < config.given
        hidden |= chosen.gather(1, own) & given
    return hidden
