"""Layers of a deep teacher: heard once for all, and the best one is told by what it tells."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.table import Table

from speechlm.errors import SpeechLMError
from speechlm.evaluation import statistics
from speechlm.evaluation.probe import layers, run
from speechlm.evaluation.probe.metrics import ProbeResult
from speechlm.tokenizers.features.pretrained import TransformersTeacher
from speechlm.training import registry
from tests.teachers import tiny_hubert

from .tones import say_tones

ROOT = Path(__file__).parents[2]
FILE = ROOT / "eval" / "layers.yaml"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("layers")
    say_tones(folder)
    teacher = tiny_hubert(folder / "hubert")
    said = folder / "said"
    overrides = [
        f"labels.phones.corpus={said}", f"labels.phones.folder={folder / 'labels'}",
        f"speakers.corpus={said}", f"layers.teacher.model={teacher}", "layers.layers=[1,2]",
        "layers.clusters=16", f"layers.data.corpora=[{said}]", f"layers.out={folder / 'kept'}",
    ]  # fmt: skip
    return SimpleNamespace(folder=folder, teacher=teacher, said=said, overrides=overrides)


def test_one_command_finds_the_best(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one pass of the teacher over each utterance, and one more to cluster them, once."""
    real, heard = TransformersTeacher._features, []

    def features(teacher: TransformersTeacher, wave: torch.Tensor) -> torch.Tensor:
        heard.append(len(wave))
        return real(teacher, wave)

    monkeypatch.setattr(TransformersTeacher, "_features", features)
    out = world.folder / "out.json"
    tables = run.run(FILE, world.overrides, out)
    assert len(heard) == 12 + 12  # speakers are of the same corpus, and heard no second time
    report = json.loads(out.read_text())
    found, best = report["tokenizers"], report["best"]
    assert list(found) == ["layer 1", "layer 2"]
    assert {each["kinds"]["mean"] for each in found.values()} == {16}
    assert best["name"] == max(found, key=lambda name: found[name]["told:phones"]["mean"])
    [other] = set(found) - {best["name"]}
    gap = found[best["name"]]["told:phones"]["mean"] - found[other]["told:phones"]["mean"]
    assert best["behind"][other]["mean"] == pytest.approx(gap)
    assert best["behind"][other]["n"] == 12
    assert report["layers"]["layers"] == [1, 2]
    for table in tables.renderables[:2]:
        assert isinstance(table, Table)
        cells = map(str, table.columns[0].cells)
        assert [cell.endswith(" *") for cell in cells] == [name == best["name"] for name in found]
    assert f"{best['name']} (*) tells most of phones" in str(tables.renderables[2])
    heard.clear()
    run.run(FILE, world.overrides, world.folder / "again.json")
    assert len(heard) == 12  # features to cluster were kept
    assert (world.folder / "again.json").read_text() == out.read_text()


def test_a_layer_is_what_a_recipe_makes_of_it(world: SimpleNamespace, tmp_path: Path) -> None:
    """To the half precision in which a tokenizer is saved."""
    model = registry.train_recipe(
        ROOT / "recipes" / "units-mfcc.yaml",
        [
            "units.teacher.kind=transformers", f"units.teacher.model={world.teacher}",
            "units.teacher.layer=2", "units.clusters=16", f"data.corpora=[{world.said}]",
            f"training.out={tmp_path / 'units'}",
        ],
    )  # fmt: skip
    run.run(FILE, [*world.overrides, f"tokenizers.alone.model={model}"], tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())["tokenizers"]
    assert list(found) == ["alone", "layer 1", "layer 2"]
    for key, figure in found["alone"].items():
        assert found["layer 2"][key]["mean"] == pytest.approx(figure["mean"], rel=0.02, abs=0.01)


def test_what_cannot_be_told_from_the_best_is_named() -> None:
    """By differences of the same utterances: much the same of each, or more or less by chance."""
    random = np.random.default_rng(0)
    hard = random.uniform(0.2, 0.8, 40)
    shares = {
        "layer 4": hard + 0.01,
        "layer 6": hard + 0.03,
        "layer 8": hard + 0.03 + 0.02 * random.standard_normal(40) - 0.001,
    }
    weights = random.uniform(1, 2, 40)
    every = {
        name: ProbeResult({"told:x": statistics.mean(each, weights)}, {"x": (each, weights)})
        for name, each in shares.items()
    }
    # Their own intervals are wide, as utterances differ, and hold each other's means.
    assert every["layer 4"].figures["told:x"].high > every["layer 6"].figures["told:x"].mean
    chosen = layers.choose(every, "x")
    assert chosen.name in ("layer 6", "layer 8")
    assert len(chosen.alike) == 1 and "layer 4" not in chosen.alike
    assert "cannot be told from it" in str(chosen)
    alone = layers.choose({"layer 6": every["layer 6"]}, "x")
    assert str(alone) == "layer 6 (*) tells most of x"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("layers.layers=[]", r"layers\.layers are different numbers"),
        ("layers.layers=[1,1]", r"layers\.layers are different numbers"),
        ("layers.layers=[1,3]", "has layers 1 to 2, not 3"),
        ("layers.teacher.layer=1", r"layers\.teacher\.layer is none"),
        ("layers.clusters=0", r"layers\.clusters is 1 or more, not 0"),
        ("layers.clusters=10000", "frames of speech for 10000 clusters"),
        ("layers.by=words", r"layers\.by is one of labels, not words"),
        ("layers.data.corpora=[]", "no speech to train on"),
        ("layers.teacher={kind: whisper, model: null}", "kind=whisper has no layers to choose"),
        ("layers=null", "no tokenizer to probe"),
    ],
)
def test_mistakes_are_one_line(
    setting: str, says: str, world: SimpleNamespace, tmp_path: Path
) -> None:
    with pytest.raises(SpeechLMError, match=says) as no:
        run.run(FILE, [*world.overrides, setting], tmp_path / "none.json")
    assert "\n" not in str(no.value)
    assert not (tmp_path / "none.json").exists()
