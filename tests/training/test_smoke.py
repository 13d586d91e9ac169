"""The shipped recipe of a tiny codec trains one that is better than none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch

from speechlm.codec import NeuralCodec
from speechlm.config import load_yaml, to_dataclass
from speechlm.data.corpus import PreparedCorpus
from speechlm.training import registry
from speechlm.training.codec import CodecObjective, CodecRecipe

from .conftest import prepared

RECIPE = Path(__file__).parents[2] / "recipes" / "codec-smoke.yaml"

OF_UNTRAINED, OF_SILENCE = 0.35, 0.70
"""Bounds on the validation loss; the recipe says what was measured."""


def test_a_minute_of_training_beats_none_and_silence(sample, tmp_path):
    wave, rate = soundfile.read(sample, dtype="int16")
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    for number, piece in enumerate(np.array_split(wave, 12)):
        soundfile.write(pieces / f"{number}.wav", piece, rate)
    corpus = prepared(pieces, tmp_path / "corpus", dev=0.3)
    assert PreparedCorpus.open(corpus).utterances == {"train": 10, "dev": 2, "test": 0}

    settings = [f"data.corpora=[{corpus}]", f"training.out={tmp_path / 'run'}"]
    model = registry.train_recipe(RECIPE, settings)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (trained,) = [line for line in lines if line["kind"] == "valid"]

    made = to_dataclass(CodecRecipe, load_yaml(RECIPE, settings), RECIPE)
    objective = CodecObjective(made)
    network = objective.model.eval()
    untrained = objective.validate(network)["loss"]
    with torch.no_grad():
        for weight in network.decoder.parameters():
            weight.zero_()
    silence = objective.validate(network)["loss"]
    assert trained["loss"] < OF_UNTRAINED * untrained
    assert trained["loss"] < OF_SILENCE * silence
    # More levels, a nearer spectrum.
    assert trained["mel@4"] < trained["mel@1"]

    codec = NeuralCodec.from_pretrained(model)
    assert codec.model_id == "smoke"
    speech = torch.from_numpy(wave.astype(np.float32) / 32768)[None]
    decoded = codec.decode(codec.encode(speech), speech.shape[1])
    assert decoded.abs().max() < 2
    assert decoded.square().mean() > 0.2 * speech.square().mean()
