"""``training.compile``: the same training, compiled; here by a backend that only traces."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch._dynamo.utils import counters

from speechlm.errors import SpeechLMError
from speechlm.training import compile as compiling
from speechlm.training.trainer import train

from .objectives import Objectives
from .runs import assert_same_run


@pytest.fixture(scope="module")
def objectives(tmp_path_factory: pytest.TempPathFactory) -> Objectives:
    return Objectives(tmp_path_factory.mktemp("objectives"))


@pytest.mark.parametrize("kind", ["codec-vectors", "lm"])
def test_a_compiled_run_is_the_run(
    kind: str, objectives: Objectives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, weights under their names, log and model; for tracing changes no operation."""
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    for name in ("plain", "compiled"):
        how = {"out": str(tmp_path / name), "steps": 2, "compile": name == "compiled"}
        objective = objectives(kind, **how)
        counters.clear()
        train(objective.recipe.training, objective)
        assert bool(counters["frames"]["ok"]) == (name == "compiled")
    assert_same_run(tmp_path / "compiled", tmp_path / "plain")


def test_other_models_are_refused_in_one_line(objectives: Objectives, tmp_path: Path) -> None:
    how = {"out": str(tmp_path), "compile": True}
    _, made = objectives.recipe("aligner", **how)
    with pytest.raises(SpeechLMError, match=r"training\.compile: is for codecs, vocoders"):
        train(made.training, objectives("aligner", **how))
