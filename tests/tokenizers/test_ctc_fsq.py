"""Supervised semantic tokens, of a language of tones: they keep what the transcript needs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.tokenizers import load as units
from speechlm.tokenizers.ctc_fsq import CtcFsq, CtcFsqConfig, CtcFsqEncoder
from speechlm.training import registry
from speechlm.training.ctc_fsq import span_mask
from tests.alignment.test_ctc import ROOT, prepared, speak


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory, 60)


def train(corpus: Path, out: Path, *more: str) -> Path:
    usual = [f"data.corpora=[{corpus}]", f"training.out={out}", "data.language=xx", "data.batch=8"]
    usual += ["units.teacher.kind=mfcc", "units.dim=48", "units.blocks=1", "units.grid=[3,3,3]"]
    usual += ["decoder.blocks=1", "decoder.kernel=5", "training.ema_decay=0.9"]
    usual += ["training.steps=300", "training.validate_every=300", "training.precision=no"]
    usual += ["quantizer_bypass_steps=100", "time_mask=0.05"]
    usual += ["training.optimizer.warmup=20", "training.optimizer.rate=5e-3"]
    return registry.train_recipe(ROOT / "recipes" / "units-ctc-fsq.yaml", [*usual, *more])


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(corpus, out)
    return out


def test_tokens_keep_the_transcript(run: Path, corpus: Path) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    figures = [line for line in lines if line["kind"] == "valid"][-1]
    assert figures["letter_errors"] < 0.15
    assert 3 < figures["perplexity"] <= 27
    tokenizer = units.load(run / "model")
    assert (tokenizer.units.codebook_size, tokenizer.units.frame_rate) == (27, 25)
    wave = torch.from_numpy(speak(["AB", "C"], np.random.default_rng(5))[0])[None]
    codes = tokenizer.encode(wave)
    assert codes.shape == (1, 1, -(-wave.shape[1] // 640))
    assert len(codes.unique()) > 3
    assert tokenizer.encode(wave[:, :0]).shape == (1, 1, 0)
    # Resumed at its end, a run is what it was.
    assert units.load(train(corpus, run)).units == tokenizer.units


def test_the_folder_has_the_encoder_alone(run: Path) -> None:
    config, weights = hub.load_model(run / "model", CtcFsqConfig)
    assert not [name for name in weights if name.startswith(("decoder", "letters"))]
    with pytest.raises(SpeechLMError, match=r"was trained with another mfcc"):
        CtcFsq(replace(config, fingerprint="another"), weights)


@settings(max_examples=10)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 99))
def test_a_batch_is_its_examples(frames: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    network = CtcFsqEncoder(CtcFsqConfig(dim=8), 5).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    x = torch.randn(len(frames), max(frames), 5)
    with torch.no_grad():
        whole, kept = network(x, torch.tensor(frames))
        for latents, own, length, some in zip(whole, kept, frames, x, strict=True):
            alone, _ = network(some[None, :length], torch.tensor([length]))
            assert int(own.sum()) == alone.shape[2] == -(-length // 2)
            torch.testing.assert_close(latents[:, : alone.shape[2]], alone[0])


def test_spans_are_masked() -> None:
    torch.manual_seed(0)
    kept = span_mask(torch.Size((200, 500)), 0.1, torch.device("cpu"))
    assert 0.08 < 1 - float(kept.mean()) < 0.11
    assert float(span_mask(torch.Size((2, 5)), 0.0, torch.device("cpu")).min()) == 1


def test_mistakes_are_one_line(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match=r"units\.kernel is odd, not 4"):
        train(corpus, tmp_path / "kernel", "units.kernel=4")
    with pytest.raises(SpeechLMError, match=r"units\.grid: a grid needs two or more values"):
        train(corpus, tmp_path / "grid", "units.grid=[1,5]")
    with pytest.raises(SpeechLMError, match=r"data\.corpora: 0 transcribed utterances"):
        train(corpus, tmp_path / "none", "data.language=yy")
