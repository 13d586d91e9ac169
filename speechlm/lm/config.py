"""The language model's architecture as data: the ``config.yaml`` of a model folder."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class IdsConfig:
    """How many ids each part of the joint vocabulary has, in the order of the ids.

    Special tokens first, then pieces of text, then the units of level 0, of level 1, and so on.
    Taken from the vocabulary when a model is made; ``pad`` is the id that no model predicts.
    """

    specials: int = 0
    text: int = 0
    cardinality: int = 0
    """Units a level."""
    levels: int = 0
    pad: int = 0


@dataclass
class DepthConfig:
    """The small transformer over the levels of a frame, that the pattern ``depth`` has."""

    dim: int = 256
    layers: int = 2
    heads: int = 4
    hidden: int = 512


@dataclass
class LMConfig:
    """A language model over text and units.

    ``backbone`` is ``llama`` (the transformer), or a baseline behind the same seam: ``gru`` or
    ``wavenet`` (a causal dilated CNN). The baselines read ``dim`` and ``layers`` of what follows,
    the CNN also ``hidden`` and ``kernel``.
    """

    name: str = "speechlm-lm"
    backbone: str = "llama"
    dim: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    """Heads of keys and values, each of which serves ``heads / kv_heads`` heads of queries."""
    hidden: int = 704
    kernel: int = 3
    rotary: float = 10000.0
    """Base of the rotary positions' wavelengths."""
    epsilon: float = 1e-5
    """What the norms add under the root."""
    dropout: float = 0.1
    ctc: bool = False
    """Whether the model also tells text from speech frame by frame (:mod:`speechlm.lm.joint`);
    recipes have it where ``loss.ctc`` is above 0."""
    reads: bool = False
    """Whether the model says a text word by word, told which is next; recipes have it where they
    train the task ``read``."""
    plans: bool = False
    """Whether level 0 is the model's own plan of what it says, not told of speech that it hears;
    recipes have it where ``mask.semantic_dropout`` is above 0."""
    guidance: float = 1.0
    """With which it reads aloud unless told otherwise (``Sampling.guidance``)."""
    attempts: int = 1
    """At reading aloud, likewise."""
    units: str | None = None
    """The codec, tokenizer or vocoder (a shipped name or a hub id) with which it hears and speaks
    unless told otherwise; None: the shipped codec."""
    tied: bool = False
    """Whether the output shares the table of embeddings."""
    context: int = 2048
    """Positions that a sequence may have."""
    pattern: str = "depth"
    """How a frame's levels are laid out: ``depth``, ``delay`` or ``flatten``."""
    depth: DepthConfig = field(default_factory=DepthConfig)
    ids: IdsConfig = field(default_factory=IdsConfig)
