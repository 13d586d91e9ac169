"""Recipes: those that are shipped can be read, and a bad one is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechlm.codec import CodecNetwork
from speechlm.config import load_yaml, to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.training.codec import CodecRecipe
from speechlm.training.recipes import KINDS, run

from .test_smoke import RECIPE

RECIPES = sorted([*RECIPE.parent.glob("*.yaml"), *RECIPE.parent.glob("gslm/*.yaml")])
ALL = ", ".join(KINDS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    declared = load_yaml(path, [])
    filled = to_dataclass(KINDS[declared.kind][0], declared, path)
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
        (["codec.hop=0"], "codec: "),
        (["codec.quantizer.kind=best"], "codec: quantizer.kind is residual-vector, "),
        (["training.resume=perhaps"], "not 'perhaps'"),
        (["training.optimizer.kind=sgd"], "not 'sgd'"),
        (["init=nowhere"], "nowhere: not a model folder"),
    ],
)
def test_a_bad_recipe_is_one_line(overrides, says, corpus, tmp_path):
    usual = [f"data.corpora=[{corpus}]", f"training.out={tmp_path}"]
    with pytest.raises(SpeechLMError, match=says) as no:
        run(RECIPE, usual + overrides)
    assert "\n" not in str(no.value)


@pytest.mark.parametrize(("name", "most"), [("codec", 8_000_000), ("codec-nano", 1_000_000)])
def test_a_codec_has_no_more_weights_than_it_may(name, most):
    path = RECIPE.with_name(f"{name}.yaml")
    filled = to_dataclass(CodecRecipe, load_yaml(path, []), path)
    assert sum(value.numel() for value in CodecNetwork(filled.codec).weights().values()) <= most


def test_no_recipe_is_one_line(tmp_path):
    with pytest.raises(SpeechLMError, match=r"none\.yaml: no such file"):
        run(tmp_path / "none.yaml", [])
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(SpeechLMError, match=rf"empty\.yaml: kind is one of {ALL}, not None"):
        run(Path(tmp_path / "empty.yaml"), [])
