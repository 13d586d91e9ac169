"""The benchmark of a training step."""

from __future__ import annotations

import pytest

from speechlm.benchmarks import train
from speechlm.errors import SpeechLMError

from .runs import recipe


def test_time_of_an_inner_region_is_not_counted_in_the_outer_one(monkeypatch):
    clock = iter([1.0, 2.0, 5.0, 11.0])
    monkeypatch.setattr(train.time, "process_time", lambda: next(clock))
    watch = train.Stopwatch()
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


def test_an_unknown_kind_is_one_line():
    with pytest.raises(SpeechLMError, match="one of codec, vocoder, lm, not foo"):
        train.synthetic("foo", 1)
