"""Configuration files: former names of keys, and what is wrong in one line."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from speechlm.codec.config import QuantizerConfig
from speechlm.config import load_yaml, rename_keys, to_dataclass
from speechlm.errors import SpeechLMError


@dataclass
class Loss:
    asr_feature: float = 0.0
    stft: float = 1.0


@dataclass
class Stage:
    RENAMED_KEYS: ClassVar[dict[str, str]] = {"levels": "num_codebooks"}
    num_codebooks: int = 8


@dataclass
class Recipe:
    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "hearing.weight": "loss.asr_feature",
        "rate": "learning_rate",
        "kind=context": "kind=entropy-model",
    }
    kind: str = "codec"
    learning_rate: float = 1.0
    loss: Loss = field(default_factory=Loss)
    stage: Stage | None = None
    stages: list[Stage] = field(default_factory=list)
    named: dict[str, Stage] = field(default_factory=dict)


def load(values: dict[str, Any], **options: Any) -> Recipe:
    return to_dataclass(Recipe, OmegaConf.create(values), "recipe.yaml", **options)


NEW = {
    "kind": "entropy-model",
    "learning_rate": 2.0,
    "loss": {"asr_feature": 3.0, "stft": 1.0},
    "stage": {"num_codebooks": 1},
    "stages": [{"num_codebooks": 2}],
    "named": {"a": {"num_codebooks": 3}},
}
OLD = {
    "kind": "context",
    "rate": 2.0,
    "hearing": {"weight": 3.0},
    "stage": {"levels": 1},
    "stages": [{"levels": 2}],
    "named": {"a": {"levels": 3}},
}


@given(st.sets(st.sampled_from(sorted(NEW))))
def test_former_names_mean_the_same(still_old):
    old_keys = {"learning_rate": "rate", "loss": "hearing"}
    mixed = {}
    for key in NEW:
        name = old_keys.get(key, key) if key in still_old else key
        mixed[name] = OLD[name] if key in still_old else NEW[key]
    assert load(mixed, warn=False) == load(NEW)


def test_each_former_name_is_one_line_of_warning(caplog):
    with caplog.at_level(logging.WARNING, "speechlm"):
        load(OLD)
    assert sorted(caplog.messages) == [
        "recipe.yaml: hearing.weight is now loss.asr_feature",
        "recipe.yaml: kind=context is now kind=entropy-model",
        "recipe.yaml: named.a.levels is now named.a.num_codebooks",
        "recipe.yaml: rate is now learning_rate",
        "recipe.yaml: stage.levels is now stage.num_codebooks",
        "recipe.yaml: stages[0].levels is now stages[0].num_codebooks",
    ]
    caplog.clear()
    load(NEW)
    load(OLD, warn=False)
    assert not caplog.messages


def test_other_values_of_a_key_are_not_renamed():
    assert load({"kind": "codec"}).kind == "codec"


def test_both_names_at_once_are_refused():
    with pytest.raises(SpeechLMError, match="rate is the former name of learning_rate"):
        load({"rate": 1.0, "learning_rate": 2.0})
    with pytest.raises(SpeechLMError, match=r"stage\.levels is the former name"):
        load({"stage": {"levels": 1, "num_codebooks": 2}})


def test_a_section_with_unknown_keys_is_still_refused():
    with pytest.raises(SpeechLMError, match="unknown key hearing"):
        load({"hearing": {"weight": 1.0, "volume": 2.0}})


def test_keys_are_renamed_before_the_dataclass_is_known():
    renamed = rename_keys(OmegaConf.create(OLD), Recipe.RENAMED_KEYS, "recipe.yaml", warn=False)
    assert renamed.kind == "entropy-model"
    assert renamed.loss == {"asr_feature": 3.0}
    assert "hearing" not in renamed


@pytest.mark.parametrize("schema", [QuantizerConfig])
def test_tables_name_keys_that_are_there(schema):
    known = {field.name for field in fields(schema)}
    for old, new in schema.RENAMED_KEYS.items():
        assert old not in known
        assert new in known


def test_interpolations_and_missing_values_survive(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text('rate: "${loss.stft}"\nloss:\n  stft: 4.0\nstage:\n  levels: "???"\n')
    recipe = to_dataclass(Recipe, load_yaml(path, ["stage.levels=2"]), path, warn=False)
    assert (recipe.learning_rate, recipe.stage) == (4.0, Stage(2))
