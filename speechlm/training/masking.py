"""Masking of what a language model reads during training, so that it uses the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.lm.config import IdsConfig

SPAN = 10
"""Frames that are masked together."""


@dataclass
class MaskConfig:
    """Fractions of the columns, or of the examples, that are masked.

    At 50 frames a second the previous frame predicts the next one nearly by itself. Masked spans of
    speech (time masking as in SpecAugment, Park et al. 2019) make the model use the text.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "said": "speech_given_text",
        "given": "cfg_text_dropout",
        "plan": "semantic_dropout",
    }

    speech: float = 0.0
    """Columns of speech, in spans."""
    speech_given_text: float | None = None
    """The same for speech whose text is given; as ``speech`` when null."""
    text: float = 0.0
    """Columns of text that is predicted, single ones: the texts of hours of speech are soon
    memorised, and a model that misses some of them attends to the speech (word dropout, Bowman et
    al. 2016)."""
    cfg_text_dropout: float = 0.0
    """Examples in which all given text is masked, for classifier-free guidance (Ho & Salimans
    2022)."""
    semantic_dropout: float = 0.0
    """Examples in which the semantic stream of given speech is padded out, where level 0 is one
    (:func:`drop_semantic`): the model then needs it for its own speech only (the inner monologue of
    Moshi, Défossez et al. 2024, in units in the place of text)."""


def masked_columns(
    tokens: Tensor, mask: Tensor, segments: Tensor, ids: IdsConfig, config: MaskConfig
) -> Tensor | None:
    """Columns to mask, bool (batch, time), drawn at random; None where nothing is masked.

    Args:
        tokens: joint ids (batch, rows, time).
        mask: of the same shape, what is to be predicted.
        segments: which example a column (batch, time) belongs to, from 0; -1 for none.
        ids: how ids are laid out.
        config: how much is masked.
    """
    given_text_prob = config.speech
    if config.speech_given_text is not None:
        given_text_prob = config.speech_given_text
    if not (config.speech or config.text or config.cfg_text_dropout or given_text_prob):
        return None
    first_unit = ids.specials + ids.text
    is_speech = (tokens >= first_unit).any(dim=1)
    is_text, example = _is_text(tokens, ids), segments.clamp(min=0)
    is_given_text = is_text & ~mask[:, 0]
    given_texts = _count_by_example(is_given_text, example)
    has_text = given_texts.gather(1, example) > 0
    prob = torch.where(has_text, given_text_prob, config.speech)
    starts = torch.rand(is_speech.shape, device=tokens.device) < prob / SPAN
    spans = F.max_pool1d(F.pad(starts.float(), (SPAN - 1, 0)), SPAN, 1) > 0
    single = torch.rand(is_speech.shape, device=tokens.device) < config.text
    masked = (spans & is_speech) | (single & is_text & mask[:, 0])
    if config.cfg_text_dropout:
        dropped = torch.rand(given_texts.shape, device=tokens.device) < config.cfg_text_dropout
        masked |= dropped.gather(1, example) & is_given_text
    return masked


def drop_semantic(
    tokens: Tensor, mask: Tensor, segments: Tensor, ids: IdsConfig, prob: float
) -> tuple[Tensor, Tensor]:
    """``tokens`` as the backbone reads them, and as the depth decoder of a frame reads them.

    In a fraction ``prob`` of the examples level 0 of given speech is padding. Where no text is
    given, that of a random length of the beginning is too; where that is all of the example, half
    of the examples predict the lower levels without level 0: these train the likelihood of sound
    alone. Arguments are as for :func:`masked_columns`.
    """
    first_unit, example = ids.specials + ids.text, segments.clamp(min=0)
    is_unit = (tokens[:, 0] >= first_unit) & (tokens[:, 0] < first_unit + ids.codebook_size)
    is_given, length = is_unit & ~mask[:, 0], _count_by_example(segments >= 0, example)
    shape, device = length.shape, tokens.device
    chosen = torch.rand(shape, device=device) < prob
    no_text = chosen & (_count_by_example(_is_text(tokens, ids) & ~mask[:, 0], example) == 0)
    cut = 2 * torch.rand(shape, device=device)
    sound_alone = no_text & (cut >= 1) & (torch.rand(shape, device=device) < 0.5)
    start = torch.cat([torch.zeros_like(length[:, :1]), length.cumsum(1)[:, :-1]], dim=1)
    position = torch.arange(tokens.shape[2], device=device) - start.gather(1, example)
    early = no_text.gather(1, example) & (position < (cut * length).gather(1, example))
    pad = torch.tensor(ids.pad, device=device)
    backbone, depth = tokens.clone(), tokens.clone()
    dropped = is_unit & (early | (is_given & chosen.gather(1, example)))
    backbone[:, 0] = torch.where(dropped, pad, tokens[:, 0])
    depth[:, 0] = torch.where(is_unit & sound_alone.gather(1, example), pad, tokens[:, 0])
    return backbone, depth


def _is_text(tokens: Tensor, ids: IdsConfig) -> Tensor:
    """Which columns (batch, time) are text."""
    return (tokens[:, 0] >= ids.specials) & (tokens[:, 0] < ids.specials + ids.text)


def _count_by_example(columns: Tensor, example: Tensor) -> Tensor:
    """How many of the ``columns`` (batch, time) each example (batch, examples) has."""
    zeros = torch.zeros(len(example), int(example.max()) + 1, device=example.device)
    return zeros.scatter_add(1, example, columns.float())
