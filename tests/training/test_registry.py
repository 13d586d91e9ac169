"""Recipes: those that are shipped can be read, and a bad one is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from speechlm.codec import CodecNetwork
from speechlm.config import load_yaml, to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.training.codec import CodecObjective, CodecRecipe
from speechlm.training.entropy_model import EntropyModelRecipe
from speechlm.training.lm import LMRecipe
from speechlm.training.registry import BUILDERS, KINDS, OBJECTIVES, train_recipe
from speechlm.training.vocoder import VocoderRecipe

from .test_smoke import RECIPE

RECIPES = sorted(path for path in RECIPE.parent.rglob("*.yaml") if path.parent.name != "accelerate")
ALL = ", ".join(KINDS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_recipes_are_valid(path):
    declared = load_yaml(path, [])
    filled = to_dataclass((OBJECTIVES | BUILDERS)[declared.kind][0], declared, path)
    # A folder of its own for each, by its name.
    assert filled.training.out == f"runs/{filled.name}"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["kind=waveform"], f"kind is one of {ALL}, not waveform"),
        (["kind=[codec]"], rf"kind is one of {ALL}, not \['codec'\]"),
        (["training.step=5"], r"unknown key training\.step; known: out, seed, steps"),
        (["training.steps=many"], r"training\.steps: "),
        (["data.corpora=[nowhere]"], "nowhere: not a prepared corpus"),
        (["data.corpora=[]"], r"no train recordings in \[\]"),
        (["codec.hop_length=0"], "codec: "),
        (["codec.quantizer.kind=best"], "codec: quantizer.kind is residual-vector, "),
        (["training.resume=perhaps"], "not 'perhaps'"),
        (["training.optimizer.kind=sgd"], "not 'sgd'"),
        (["init=nowhere"], "nowhere: not a model folder"),
    ],
)
def test_a_bad_recipe_is_one_line(overrides, says, corpus, tmp_path):
    usual = [f"data.corpora=[{corpus}]", f"training.out={tmp_path}"]
    with pytest.raises(SpeechLMError, match=says) as no:
        train_recipe(RECIPE, usual + overrides)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(
    ("name", "most"), [("codec", 8_000_000), ("codec-nano/01-from-scratch", 1_000_000)]
)
def test_a_codec_has_no_more_weights_than_it_may(name, most):
    path = RECIPE.parent / f"{name}.yaml"
    filled = to_dataclass(CodecRecipe, load_yaml(path, []), path)
    assert sum(value.numel() for value in CodecNetwork(filled.codec).weights().values()) <= most


def test_no_recipe_is_one_line(tmp_path):
    with pytest.raises(SpeechLMError, match=r"none\.yaml: no such file"):
        train_recipe(tmp_path / "none.yaml", [])
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(SpeechLMError, match=rf"empty\.yaml: kind is one of {ALL}, not None"):
        train_recipe(Path(tmp_path / "empty.yaml"), [])


OLD_CODEC = {
    "loss": {
        "draws": 2,
        "early": 7,
        "early_commitment": 0.2,
        "bypass": 5,
        "full": 0.3,
        "ragged": 0,
    },
    "hearing": {"weight": 1.5, "model": "folder"},
    "adversarial": {"start": 9, "windows": [64], "channels": 3, "feature": 2.0},
}


def test_codec_recipes_with_former_keys_load():
    made = to_dataclass(CodecRecipe, OmegaConf.create(OLD_CODEC), "old.yaml", warn=False)
    loss, quantization, adversarial = made.loss, made.quantization, made.adversarial
    assert (loss.resolutions_per_step, loss.commitment_warmup_steps) == (2, 7)
    assert loss.commitment_warmup_weight == 0.2
    assert (quantization.quantizer_bypass_steps, quantization.all_codebooks_prob) == (5, 0.3)
    assert quantization.variable_rate_prob == 0
    assert (loss.asr_feature.weight, loss.asr_feature.model) == (1.5, "folder")
    assert (adversarial.start, adversarial.feature_matching) == (9, 2.0)
    assert adversarial.discriminators.stft_windows == [64]
    assert adversarial.discriminators.stft_channels == 3


def test_other_recipes_with_former_keys_load():
    def load(schema, **old):
        return to_dataclass(schema, OmegaConf.create(old), "old.yaml", warn=False)

    vocoder = load(VocoderRecipe, usual="anna", loss={"draws": 1}, hearing={"weight": 3})
    assert vocoder.default_speaker == "anna"
    assert (vocoder.loss.resolutions_per_step, vocoder.loss.asr_feature.weight) == (1, 3)
    mask = load(LMRecipe, masking={"said": 0.1, "given": 0.2, "plan": 0.3, "speech": 0.4}).mask
    assert (mask.speech_given_text, mask.cfg_text_dropout) == (0.1, 0.2)
    assert (mask.semantic_dropout, mask.speech) == (0.3, 0.4)
    data = load(EntropyModelRecipe, data={"full": 0.5, "ragged": 0.6}).data
    assert (data.all_codebooks_prob, data.variable_rate_prob) == (0.5, 0.6)


def test_the_former_kind_of_entropy_models_is_read(tmp_path):
    path = tmp_path / "context.yaml"
    path.write_text("kind: context\ncodec: nowhere\n")
    with pytest.raises(SpeechLMError, match="nowhere: not a model folder"):
        train_recipe(path, [])


def test_a_weight_may_be_a_schedule(corpus, tmp_path):
    usual = [f"data.corpora=[{corpus}]", f"training.out={tmp_path}"]
    declared = load_yaml(RECIPE, [*usual, "loss.mel={from: 1, to: 0, start: 2, end: 4}"])
    objective = CodecObjective(to_dataclass(CodecRecipe, declared, RECIPE))
    assert objective.terms[0].name == "mel"
    assert [objective.terms[0].weight_at(step) for step in (0, 3, 4)] == [1, 0.5, 0]
