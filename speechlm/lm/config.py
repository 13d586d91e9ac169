"""The language model's architecture as data: the ``config.yaml`` of a model folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class IdsConfig:
    """Number of ids of each part of the joint vocabulary, in the order of the ids.

    Special tokens first, then pieces of text, then the units of level 0, of level 1, and so on.
    Set from the vocabulary when a model is created; ``pad`` is the padding id, never predicted.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "cardinality": "codebook_size",
        "levels": "num_codebooks",
    }

    specials: int = 0
    text: int = 0
    codebook_size: int = 0
    """Units per codebook."""
    num_codebooks: int = 0
    pad: int = 0


@dataclass
class DepthConfig:
    """The depth transformer over the codebooks of a frame, for the pattern ``depth``."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "layers": "num_layers",
        "heads": "num_heads",
        "hidden": "ffn_dim",
    }

    dim: int = 256
    num_layers: int = 2
    num_heads: int = 4
    ffn_dim: int = 512


@dataclass
class LMConfig:
    """A language model over text and units.

    ``backbone`` is ``llama`` (the transformer) or a baseline, ``gru`` or ``wavenet`` (a causal
    dilated CNN). The baselines use ``dim`` and ``num_layers``, the CNN also ``ffn_dim`` and
    ``kernel``.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "layers": "num_layers",
        "heads": "num_heads",
        "kv_heads": "num_kv_heads",
        "hidden": "ffn_dim",
        "rotary": "rope_theta",
        "epsilon": "norm_eps",
        "reads": "wordwise_tts",
        "plans": "semantic_stream",
        "attempts": "best_of",
        "tied": "tie_word_embeddings",
        "context": "max_position_embeddings",
    }

    name: str = "speechlm-lm"
    backbone: str = "llama"
    dim: int = 256
    num_layers: int = 6
    num_heads: int = 4
    num_kv_heads: int = 2
    """Heads of keys and values (grouped-query attention)."""
    ffn_dim: int = 704
    kernel: int = 3
    rope_theta: float = 10000.0
    """Base of the wavelengths of rotary positions."""
    norm_eps: float = 1e-5
    """Epsilon of RMSNorm."""
    dropout: float = 0.1
    ctc: bool = False
    """Whether the model has a CTC output for joint CTC/attention decoding
    (:mod:`speechlm.lm.generate.ctc_attention`); set by training where ``loss.ctc`` is above 0."""
    wordwise_tts: bool = False
    """Whether text to speech is word by word, each word given before its speech; set by training
    with the task ``tts-wordwise``."""
    semantic_stream: bool = False
    """Whether level 0 is a semantic stream that is predicted for the model's own speech and padded
    out for input speech (Moshi's inner monologue); set by training where ``mask.semantic_dropout``
    is above 0."""
    guidance: float = 1.0
    """Default of ``Sampling.guidance`` for text to speech."""
    best_of: int = 1
    """Default of ``Sampling.best_of`` for text to speech."""
    ctc_weight: float = 0.6
    """Default of ``speechlm.lm.generate.ctc_attention.Fusion.ctc`` for speech to text."""
    text_lm_weight: float = 0.5
    """Default of ``Fusion.lm`` for speech to text."""
    word_bonus: float = 1.0
    """Default of ``Fusion.word`` for speech to text."""
    units: str | None = None
    """Default tokenizer: a codec, tokenizer or vocoder (shipped name or hub id); None: the shipped
    codec."""
    tie_word_embeddings: bool = False
    """Whether the output matrix is that of the embeddings."""
    max_position_embeddings: int = 2048
    """Maximum length of a sequence."""
    pattern: str = "depth"
    """Codebook pattern: ``depth``, ``delay`` or ``flatten`` (:mod:`speechlm.lm.patterns`)."""
    depth: DepthConfig = field(default_factory=DepthConfig)
    ids: IdsConfig = field(default_factory=IdsConfig)
