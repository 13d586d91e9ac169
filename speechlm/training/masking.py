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

    Of speech, spans: time masking (SpecAugment, Park et al. 2019). At 50 frames a second the frame
    before tells nearly all; without it, a model has to use the text that it is to say. Of text that
    is to be written, single pieces: the texts of hours of speech are soon known by heart, and a
    model that misses some of what it wrote has to listen (word dropout, Bowman et al. 2016).
    """

    speech: float = 0.0
    text: float = 0.0


def masked(tokens: Tensor, mask: Tensor, ids: IdsConfig, config: MaskingConfig) -> Tensor | None:
    """Columns to hide, bool (batch, time), drawn anew; None where nothing is masked.

    Args:
        tokens: joint ids (batch, rows, time).
        mask: of the same shape, what is to be predicted.
    """
    if not config.speech and not config.text:
        return None
    first = ids.specials + ids.text
    speech = (tokens >= first).any(dim=1)
    text = (tokens[:, 0] >= ids.specials) & (tokens[:, 0] < first) & mask[:, 0]
    begins = torch.rand(speech.shape, device=tokens.device) < config.speech / SPAN
    spans = F.max_pool1d(F.pad(begins.float(), (SPAN - 1, 0)), SPAN, 1) > 0
    single = torch.rand(text.shape, device=tokens.device) < config.text
    return (spans & speech) | (single & text)
