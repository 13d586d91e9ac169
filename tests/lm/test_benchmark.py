"""The speed benchmark of the language model: what it reports, not how fast this machine is."""

from __future__ import annotations

import importlib.util
import json

import pytest

from speechlm.benchmarks import lm as benchmark
from speechlm.benchmarks.codec import Spread
from speechlm.benchmarks.lm import GenerationFigures, GenerationReport, SpeedRatio
from speechlm.lm.config import DepthConfig, LMConfig
from tests.tools import require


def report(
    generate: float, train: float, first: float, speech: float, same: bool
) -> GenerationReport:
    pairs = {
        "generate": SpeedRatio.of(10, [(1.0, generate)]),
        "train": SpeedRatio.of(10, [(1.0, train)]),
    }
    wall = GenerationFigures(pairs, Spread.of([first]), Spread.of([speech]))
    return GenerationReport(1, 1, wall, wall, same, [])


def test_pairs_compare_run_by_run() -> None:
    pair = SpeedRatio.of(100, [(1.0, 2.0), (2.0, 8.0), (4.0, 12.0)])
    assert pair.own == Spread(50.0, 25.0, 100.0)
    assert pair.ratio == Spread(3.0, 2.0, 4.0)


def test_goals_can_be_missed() -> None:
    assert all(report(3.0, 1.3, 0.3, 1.0, True).goals.values())
    assert not any(report(2.9, 1.2, 0.31, 1.1, True).goals.values())
    assert sum(report(9.0, 9.0, 0.1, 0.1, False).goals.values()) == 3


def test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both generate the same tokens; every figure is a positive time."""
    require(importlib.util.find_spec("transformers") is not None, "transformers: pip .[hf]")
    monkeypatch.setattr(benchmark, "TOKENS", 12)
    monkeypatch.setattr(benchmark, "SECONDS_SPOKEN", 0.4)
    config = LMConfig(
        dim=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        ffn_dim=32,
        depth=DepthConfig(16, 1, 2, 16),
    )
    found = benchmark.run(2, config)
    assert found.same is True
    for figures in (found.wall, found.cpu):
        assert set(figures.pairs) == {"generate", "train", "train, mixed lengths"}
        assert 0 < figures.first.low <= figures.first.median
        assert figures.speech.low > 0
        assert all(pair.own.low > 0 and pair.ratio.low > 0 for pair in figures.pairs.values())
    json.dumps(found.to_json(), allow_nan=False)
    assert found.table().row_count == 6


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)
    monkeypatch.setattr(benchmark, "SECONDS_SPOKEN", 0.4)
    config = LMConfig(
        dim=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        ffn_dim=32,
        depth=DepthConfig(16, 1, 2, 16),
    )
    found = benchmark.run(1, config)
    assert found.same is None
    assert found.wall.pairs == {}
    assert "speechlm[hf]" in found.absent[0]
    assert len(found.goals) == 2
