"""The recipe of an entropy model: what it learns makes files smaller, in whole numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from speechlm import hub
from speechlm.bitstream import BitstreamError
from speechlm.bitstream.entropy import EntropyModel
from speechlm.codec import CodecNetwork, NeuralCodec
from speechlm.compression.files import compress, decompress
from speechlm.errors import SpeechLMError
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.entropy_model import (
    EntropyModelDataConfig,
    EntropyModelObjective,
    EntropyModelRecipe,
)
from speechlm.training.quantized_entropy_model import EntropyModelConfig, QuantizedEntropyModel
from speechlm.training.trainer import train

from .runs import CODECS, assert_same

SMALL = EntropyModelConfig(width=4, trunk=8, hidden=8, layers=2, head=6)
STEPS = 60


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("context") / "codec"
    return NeuralCodec(CodecNetwork(CODECS["vectors"])).save_pretrained(folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tokens")


def recipe(codec: Path, corpus: Path, cache: Path, out: Path, **training) -> EntropyModelRecipe:
    settings = {"steps": STEPS, "ema_decay": 0.9, "validate_every": STEPS, "checkpoint_every": 20}
    optimizer = OptimizerConfig(rate=1e-2, warmup=5, weight_decay=0.0)
    return EntropyModelRecipe(
        codec=str(codec),
        model=SMALL,
        data=EntropyModelDataConfig([str(corpus)], str(cache), frames=40, batch=4, validation=8),
        floats=STEPS // 2,
        heads=2,
        training=TrainingConfig(out=str(out), optimizer=optimizer, **(settings | training)),
    )


@pytest.fixture(scope="module")
def trained(codec_folder, corpus, cache, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    made = recipe(codec_folder, corpus, cache, out)
    train(made.training, EntropyModelObjective(made))
    return out


def test_training_makes_smaller_files_and_puts_the_model_where_the_codec_is(
    trained, codec_folder, sample, tmp_path
):
    (figures,) = [
        line
        for line in map(json.loads, (trained / "log.jsonl").read_text().splitlines())
        if line["kind"] == "valid"
    ]
    assert figures["saved@2"] > 0.1
    codec = NeuralCodec.from_pretrained(codec_folder)
    assert codec.entropy is not None
    again = NeuralCodec.from_pretrained(trained / "model")
    assert (again.weights_hash, again.entropy.hash) == (codec.weights_hash, codec.entropy.hash)
    plain = NeuralCodec.from_pretrained(codec_folder)
    plain.entropy = None
    sizes = []
    for number, each in enumerate((codec, plain)):
        target = tmp_path / f"{number}.slm"
        compress(sample, target, each)
        decompress(target, tmp_path / f"{number}.wav", each)
        sizes.append(target.stat().st_size)
    assert (tmp_path / "0.wav").read_bytes() == (tmp_path / "1.wav").read_bytes()
    assert sizes[0] < 0.9 * sizes[1]


def test_another_context_model_or_none_is_told_in_one_line(trained, codec_folder, sample, tmp_path):
    codec = NeuralCodec.from_pretrained(codec_folder)
    target = tmp_path / "a.slm"
    compress(sample, target, codec)
    first = codec.entropy.hash
    arrays = dict(codec.entropy.model.arrays)
    arrays["number"] = arrays["number"] ^ 1
    codec.entropy = type(codec.entropy)(EntropyModel(arrays))
    for other, named in ((codec.entropy, codec.entropy.hash), (None, "none")):
        codec.entropy = other
        with pytest.raises(BitstreamError, match=f"a.slm: .*{first}.* has {named}") as error:
            decompress(target, tmp_path / "a.wav", codec)
        assert "\n" not in str(error.value)


def test_a_context_model_of_other_weights_is_left_out(trained, codec_folder, tmp_path):
    codec = NeuralCodec.from_pretrained(codec_folder)
    codec.save_pretrained(tmp_path / "same")
    assert NeuralCodec.from_pretrained(tmp_path / "same").entropy.hash == codec.entropy.hash
    with torch.no_grad():
        next(codec.network.encoder.parameters()).add_(1)
    hub.save_model(tmp_path / "same", codec.network.config, codec.network.weights())
    assert NeuralCodec.from_pretrained(tmp_path / "same").entropy is None


def test_a_broken_context_model_is_one_line(trained, codec_folder, tmp_path):
    NeuralCodec.from_pretrained(codec_folder).save_pretrained(tmp_path)
    (tmp_path / hub.CONTEXT).write_bytes(b"damaged")
    with pytest.raises(SpeechLMError, match=r"context\.safetensors: "):
        NeuralCodec.from_pretrained(tmp_path)


def test_an_interrupted_run_goes_on(trained, codec_folder, corpus, cache, tmp_path, monkeypatch):
    real = EntropyModelObjective.batch

    def batch(objective, step):
        if step == 33:
            raise KeyboardInterrupt
        return real(objective, step)

    made = recipe(codec_folder, corpus, cache, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(EntropyModelObjective, "batch", batch)
        with pytest.raises(SpeechLMError, match="from step 20"):
            train(made.training, EntropyModelObjective(made))
    train(made.training, EntropyModelObjective(made))
    models = [EntropyModel.load(out / "model" / hub.CONTEXT) for out in (tmp_path, trained)]
    assert models[0][0].hash == models[1][0].hash
    assert_same(dict(sorted(models[0][1].items())), dict(sorted(models[1][1].items())))


def test_without_enough_codes_it_says_so(codec_folder, corpus, cache, tmp_path):
    made = recipe(codec_folder, corpus, cache, tmp_path)
    made.data.frames = 1000
    with pytest.raises(SpeechLMError, match="fewer than 1000 frames of train"):
        EntropyModelObjective(made)


@pytest.mark.parametrize("seed", range(3))
def test_rounded_it_is_the_integer_model_to_the_last_bit(seed):
    torch.manual_seed(seed)
    network = QuantizedEntropyModel(SMALL, num_codebooks=4, codebook_size=32)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3).add_(0.05 * torch.randn_like(weight))
        for score in network.score:
            score.weight.mul_(5)
    whole = EntropyModel(network.arrays())
    random = np.random.default_rng(seed)
    codes = random.integers(0, 32, (4, 50))
    kept = random.integers(0, 5, 50)
    codes[np.arange(4)[:, None] >= kept] = -1
    given = network(torch.from_numpy(codes)[None], True)
    scores = [score.detach().numpy() for score in given]

    below = [np.zeros((50, whole.width), np.float32)]
    for k, row in enumerate(codes):
        below.append(below[-1] + whole.embed(k, row))
    entered = whole.input_proj(below[-1], kept)
    before = np.concatenate([np.zeros((1, whole.trunk), np.float32), entered[:-1]])
    seen = whole.trunk_outputs(whole.initial_history(), before)
    for k in range(4):
        there = codes[k] >= 0
        expected = whole.scores(k, seen, below[k])[there]
        assert np.array_equal(np.rint(scores[k] * 16), expected)
        assert expected.std() > 8  # half a bit: there is something to compare
