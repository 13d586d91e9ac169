"""The benchmark of a training step."""

from __future__ import annotations

import pytest
import torch

from speechlm.benchmarks import train
from speechlm.errors import SpeechLMError
from speechlm.training.codec import CodecObjective

from .runs import recipe


def test_time_of_an_inner_region_is_not_counted_in_the_outer_one(monkeypatch):
    clock = iter([1.0, 2.0, 5.0, 11.0])
    monkeypatch.setattr(train.time, "process_time", lambda: next(clock))
    watch = train.Stopwatch(torch.device("cpu"))
    with watch.region("outer"), watch.region("inner"):
        pass
    assert watch.seconds == {"outer": 1.0 + 6.0, "inner": 3.0}


def test_a_step_is_told_by_its_parts(corpus, tmp_path):
    report = train.measure("codec", recipe(corpus, tmp_path, "vectors"), steps=2)
    names = {part.name for part in report.parts}
    expected = {"data", "encoder", "quantizer", "decoder", "backward", "AdamW", "EMA", "clip"}
    assert expected <= names, expected - names
    assert any(name.startswith("loss: ") for name in names)
    assert all(part.milliseconds >= 0 for part in report.parts)
    assert report.amount == pytest.approx(2 * 0.1)
    assert report.to_json()["per_cpu_second"] > 0
    assert report.table().row_count == len(names)
    assert report.product_flops > report.flops / report.step_seconds > 0
    assert report.to_json()["mfu"] == pytest.approx(report.utilization)


def test_an_unknown_kind_is_one_line():
    with pytest.raises(SpeechLMError, match="one of codec, vocoder, lm, not foo"):
        train.synthetic("foo", [], 1)


def test_a_device_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(SpeechLMError, match="--device: cpu or cuda, not tpu"):
        train.run(tmp_path / "recipe.yaml", [], 1, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(SpeechLMError, match="--device cuda: no GPU that CUDA drives"):
            train.run(tmp_path / "recipe.yaml", [], 1, device="cuda")


def test_flops_are_those_of_the_products(corpus, tmp_path, monkeypatch):
    """A model of one matrix: a product forward, and one for its gradient."""
    made = recipe(corpus, tmp_path)

    class Objective(CodecObjective):
        def forward(self, batch, phase, step):
            return (self.model.decoder.stack.stages[0](torch.ones(3, 4, 5))).sum(), {}

    monkeypatch.setitem(train.OBJECTIVES, "codec", (type(made), Objective))
    dim = made.codec.spectral.decoder_dim
    assert train.measure("codec", made, 1).flops == 2 * (2 * 3 * 5 * 4 * dim)
