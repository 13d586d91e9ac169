"""The cost of a corpus: what is measured is measured, and the report says it by the hour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from speechlm.benchmarks import scale
from speechlm.benchmarks import scale_stages as stages
from speechlm.data.corpus import read_cuts
from speechlm.data.prepare import prepare
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.training.config import TrainingConfig
from tests.data.trees import wave_file

FOLDER = Path(__file__).parents[1] / "data" / "folder.yaml"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    for number in range(4):
        wave = 0.1 * random.standard_normal(16000).astype(np.float32)
        wave_file(folder / f"{number}.wav", wave)
    out = tmp_path_factory.mktemp("corpora") / "mine"
    settings = ["split.by=utterance", "split.dev=0", "split.test=0"]
    prepare(FOLDER, [f"path={folder}", f"output={out}", "name=mine", *settings])
    return out


def test_stages_do_their_work(corpus: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Recordings are taken again when there are too few; hours are those of the result."""
    stages.make_source(read_cuts([corpus], "train"), 9.5, tmp_path / "source")
    assert len(list((tmp_path / "source").iterdir())) == 10
    (tmp_path / "job").mkdir()
    assert stages._prepare(tmp_path / "source", tmp_path / "job") == pytest.approx(
        10 / 3600, rel=0.1
    )
    hours = stages._tokenize(tmp_path / "job", str(tiny_model))
    tokens = Tokens(tmp_path / "job" / "tokens")
    assert len(tokens.entries) == 10
    assert hours == pytest.approx(tokens.seconds / 3600)


def test_a_step_is_timed_without_the_first_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of what lies between two batches; the first two steps would make it 5 s."""
    walls = np.cumsum([0.0, 30, 30, 2, 3, 4, 5, 6]).tolist()
    monkeypatch.setattr(stages, "perf_counter", iter(walls).__next__)
    monkeypatch.setattr(stages, "process_time", iter([wall / 2 for wall in walls]).__next__)

    class Batches:
        def batch(self, step: int) -> dict[str, torch.Tensor]:
            return {}

    def train(config: TrainingConfig, objective: Batches) -> None:
        for step in range(config.steps):
            objective.batch(step)

    monkeypatch.setattr(stages, "train", train)
    assert stages._step(TrainingConfig(steps=8), Batches()) == (4.0, 2.0)


def test_the_report_is_by_the_hour(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(data: int, count: int, folder: Path, model: str | None) -> list[scale.ScaleRow]:
        asked.append((data, count, len(list((folder / "source").iterdir()))))
        hours = 0.5 * data * count
        # Two processes take a quarter more time for twice the work.
        seconds = 10 * data * (1.25 if count > 1 else 1)
        return [
            scale.ScaleRow(stage, data, count, hours, seconds, seconds * count)
            for stage in stages.STAGES
        ]

    monkeypatch.setattr(scale, "_measured", measured)
    report = scale.run(corpus, None, 0.1, 3)
    assert asked == [(1, 1, 6), (4, 1, 24), (16, 1, 96), (1, 2, 6)]
    found = json.loads(json.dumps(report.to_json()))
    assert [row["cost"] for row in found["rows"][:4]] == [
        {"seconds": 20, "work": 20},
        {"seconds": 20, "work": 20},
        {"seconds": 20, "work": 20},
        {"seconds": 12.5, "work": 25},
    ]
    assert list(report.table().columns[-1].cells)[:4] == ["1.00", "1.00", "1.00", "0.80"]
    with pytest.raises(SpeechLMError, match="not a prepared corpus"):
        scale.run(corpus.parent, None, 1, 1)
