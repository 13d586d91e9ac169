"""A self-supervised network that nobody trained, as a folder that transformers loads."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

from tests.tools import require


def tiny_hubert(folder: Path) -> Path:
    """HuBERT of two layers of 16 numbers, its frames of 20 ms."""
    require(find_spec("transformers") is not None, "transformers (extra hf)")
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        conv_dim=[8] * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
    )  # fmt: skip
    HubertModel(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return folder
