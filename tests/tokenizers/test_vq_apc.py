"""Units that predict: better than standing still, causal, and a tokenizer like others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechlm.data.prepare import prepare
from speechlm.errors import SpeechLMError
from speechlm.tokenizers import load as units
from speechlm.training import registry

from .test_kmeans import RATE, ROOT, tune


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("tunes")
    random = np.random.default_rng(0)
    for number in range(12):
        soundfile.write(source / f"{number}.wav", tune(random), RATE)
    out = tmp_path_factory.mktemp("corpora") / "toy"
    usual = [f"path={source}", f"output={out}", "name=toy", "split.test=0", "split.dev=0.3"]
    prepare(ROOT / "data" / "folder.yaml", [*usual, "split.by=utterance"])
    return out


def train(corpus: Path, out: Path, *more: str) -> Path:
    small = ["units.dim=32", "units.blocks=1", "units.clusters=16", "data.batch=4"]
    small += ["data.seconds=1", "data.validation=8", "training.steps=60", "training.ema_decay=0.9"]
    small += ["training.optimizer.warmup=5", "training.optimizer.rate=1e-2"]
    usual = [f"data.corpora=[{corpus}]", f"training.out={out}"]
    return registry.train_recipe(ROOT / "recipes" / "units-vq-apc.yaml", [*usual, *small, *more])


def test_it_predicts(corpus: Path, tmp_path: Path) -> None:
    model = train(corpus, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (figures,) = [line for line in lines if line["kind"] == "valid"]
    assert figures["loss"] < 0.9 * figures["still"]
    assert figures["perplexity"] > 2.5
    tokenizer = units.load(model)
    assert (tokenizer.units.codebook_size, tokenizer.units.frame_rate) == (16, 50)
    wave = torch.from_numpy(tune(np.random.default_rng(3)))[None]
    whole = tokenizer.encode(wave)
    assert whole.shape == (1, 1, -(-wave.shape[1] // 320))
    # Causal, but for the half hop that a window hears beyond its frame.
    part = tokenizer.encode(wave[:, : 40 * 320 + 160])[..., :40]
    assert torch.equal(part, whole[..., :40])
    assert tokenizer.encode(wave[:, :0]).shape == (1, 1, 0)
    assert tokenizer.units == units.load(model).units
    # Resumed at its end, a run is what it was.
    assert units.load(train(corpus, tmp_path / "run")).units == tokenizer.units


def test_mistakes_are_one_line(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="no train recordings"):
        train(corpus, tmp_path, "data.corpora=[]")
    for shift in (0, 50):
        with pytest.raises(SpeechLMError, match=rf"units\.shift is 1 to 49 frames, not {shift}"):
            train(corpus, tmp_path, f"units.shift={shift}")
