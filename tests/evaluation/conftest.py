"""Clips, a tiny codec and a finished suite that the evaluation's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from .voices import RATE, voice


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three made-up voices, one of them with a text."""
    folder = tmp_path_factory.mktemp("clips")
    for number, pitch in enumerate((110.0, 150.0, 210.0)):
        wave = voice(1.2 + 0.2 * number, pitch, seed=number)
        soundfile.write(folder / f"voice-{number}.wav", wave, RATE, subtype="PCM_16")
    (folder / "voice-1.txt").write_text("la la la\n", "utf-8")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec folder: the real thing, tiny and untrained."""
    import torch

    from speechlm.codec import CodecConfig, CodecNetwork, NeuralCodec
    from speechlm.codec.config import QuantizerConfig, SpectralConfig

    torch.manual_seed(0)
    spectral = SpectralConfig(8, 1, 8, 1)
    config = CodecConfig("tiny", latent=8, spectral=spectral)
    config.quantizer = QuantizerConfig(num_codebooks=4, codebook_size=16)
    return NeuralCodec(CodecNetwork(config)).save_pretrained(tmp_path_factory.mktemp("model"))


@pytest.fixture
def suite_file(tmp_path: Path, clips: Path) -> Path:
    """A suite that takes a second: the original, Opus, and a command that fails on one clip."""
    path = tmp_path / "suite.yaml"
    path.write_text(
        f"""
title: A <test> suite
clips: {{sources: [{clips}]}}
systems:
  original: {{kind: original}}
  opus: {{kind: opus, kbps: [12, 6]}}
  absent:
    kind: command
    kbps: [4]
    encode: no-such-codec {{in}} {{out}}
    decode: no-such-codec {{in}} {{out}}
metrics: [stoi, mel]
runtime: {{repeats: 0}}
workers: 0
cache: {tmp_path / "cache"}
""",
        "utf-8",
    )
    return path
