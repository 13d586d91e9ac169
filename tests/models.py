"""Model folders of random weights: a codec, a vocoder and a language model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from speechlm import hub
from speechlm.codec import CodecConfig, CodecNetwork, NeuralCodec
from speechlm.codec.config import QuantizerConfig, SpectralConfig
from speechlm.lm.model import UnitLM
from speechlm.lm.vocabulary import Vocabulary
from speechlm.tokenizers.load import TOKENIZER, embed, load
from speechlm.tokenizers.text import FILE as TEXT_MODEL
from speechlm.tokenizers.text import TextTokenizer
from speechlm.training.lm import ids_of
from speechlm.vocoder import VocoderConfig, VocoderNetwork
from speechlm.vocoder.config import VoiceConfig
from tests.lm import tiny


def tiny_codec(folder: Path, num_codebooks: int = 4) -> Path:
    """A codec of 50 Hz, whose codebooks have 1024 entries."""
    torch.manual_seed(0)
    config = CodecConfig(
        name="tiny",
        latent=8,
        spectral=SpectralConfig(16, 1, 16, 1),
        quantizer=QuantizerConfig(num_codebooks=num_codebooks),
    )
    return NeuralCodec(CodecNetwork(config)).save_pretrained(folder)


def tiny_vocoder(codec: Path, folder: Path) -> Path:
    """A vocoder of the units of a codec."""
    units = load(codec).units
    config = VocoderConfig(
        codec=TOKENIZER,
        weights=units.weights,
        sample_rate=units.sample_rate,
        hop_length=units.hop_length,
        num_codebooks=units.num_codebooks,
        codebook_size=units.codebook_size,
        dim=16,
        blocks=1,
        ahead=2,
        voice=VoiceConfig(8, 1, 4),
        duration_dim=8,
    )
    torch.manual_seed(0)
    hub.save_model(folder, config, VocoderNetwork(config).state_dict())
    embed(codec, folder)
    return folder


def tiny_lm(
    units: str | Path, folder: Path, kind: str = "depth", num_codebooks: int | None = 2
) -> Path:
    """A language model of letters and of the units of a codec or vocoder, which it names."""
    text = TextTokenizer.train(["abcdefghijklmnopqrstuvwxyz"], "char", 300)
    vocabulary = Vocabulary(text.size, load(units, num_codebooks).units)
    config = replace(
        tiny.config(kind, ids=ids_of(vocabulary)),
        units=str(units),
        max_position_embeddings=1024,
        ctc=True,
    )
    torch.manual_seed(0)
    hub.save_model(folder, config, UnitLM(config).state_dict())
    vocabulary.save(folder)
    text.save(folder / TEXT_MODEL)
    return folder
