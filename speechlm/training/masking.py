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

    Where level 0 is a plan of what is said (:mod:`speechlm.units.stacked`), a model may have to do
    without that of speech which it hears, but for what it says itself (Moshi's inner monologue,
    Défossez et al. 2024, in units for text): see :func:`unplanned`.
    """

    speech: float = 0.0
    text: float = 0.0
    given: float = 0.0
    said: float | None = None
    """As ``speech`` if there is none."""
    plan: float = 0.0
    """Of examples, not of columns."""


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
    written, own = _written(tokens, ids), segments.clamp(min=0)
    given = written & ~mask[:, 0]
    texts = _number(given, own)
    told = texts.gather(1, own) > 0
    share = torch.where(told, said, config.speech)
    begins = torch.rand(speech.shape, device=tokens.device) < share / SPAN
    spans = F.max_pool1d(F.pad(begins.float(), (SPAN - 1, 0)), SPAN, 1) > 0
    single = torch.rand(speech.shape, device=tokens.device) < config.text
    hidden = (spans & speech) | (single & written & mask[:, 0])
    if config.given:
        chosen = torch.rand(texts.shape, device=tokens.device) < config.given
        hidden |= chosen.gather(1, own) & given
    return hidden


def unplanned(
    tokens: Tensor, mask: Tensor, segments: Tensor, ids: IdsConfig, share: float
) -> tuple[Tensor, Tensor]:
    """``tokens`` as far as the backbone reads them, and as far as a frame's lower levels do.

    In a ``share`` of the examples level 0 of the speech that is given is padding. Where no text
    says what the rest is, that of its beginning is too, up to a place that is drawn; and where
    that is all of it, in half of the cases its lower levels are predicted without level 0: then the
    model tells how probable sound is by itself. Arguments are as for :func:`masked`.
    """
    first, own = ids.specials + ids.text, segments.clamp(min=0)
    unit = (tokens[:, 0] >= first) & (tokens[:, 0] < first + ids.cardinality)
    given, length = unit & ~mask[:, 0], _number(segments >= 0, own)
    shape, device = length.shape, tokens.device
    chosen = torch.rand(shape, device=device) < share
    free = chosen & (_number(_written(tokens, ids) & ~mask[:, 0], own) == 0)
    cut = 2 * torch.rand(shape, device=device)
    whole = free & (cut >= 1) & (torch.rand(shape, device=device) < 0.5)
    start = torch.cat([torch.zeros_like(length[:, :1]), length.cumsum(1)[:, :-1]], dim=1)
    place = torch.arange(tokens.shape[2], device=device) - start.gather(1, own)
    early = free.gather(1, own) & (place < (cut * length).gather(1, own))
    pad = torch.tensor(ids.pad, device=device)
    heard, known = tokens.clone(), tokens.clone()
    hidden = unit & (early | (given & chosen.gather(1, own)))
    heard[:, 0] = torch.where(hidden, pad, tokens[:, 0])
    known[:, 0] = torch.where(unit & whole.gather(1, own), pad, tokens[:, 0])
    return heard, known


def _written(tokens: Tensor, ids: IdsConfig) -> Tensor:
    """Which columns (batch, time) are text."""
    return (tokens[:, 0] >= ids.specials) & (tokens[:, 0] < ids.specials + ids.text)


def _number(what: Tensor, own: Tensor) -> Tensor:
    """How many of the columns ``what`` (batch, time) each example (batch, examples) has."""
    none = torch.zeros(len(own), int(own.max()) + 1, device=own.device)
    return none.scatter_add(1, own, what.float())
