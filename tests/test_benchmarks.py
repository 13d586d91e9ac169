"""The speed benchmark: what it reports, not how fast this machine is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from speechlm.benchmarks import codec as benchmark
from speechlm.benchmarks.codec import ENCODEC, OWN, CodecFigures, CodecReport, Coder, Spread
from speechlm.codec import NeuralCodec
from speechlm.errors import SpeechLMError


def test_spread() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def report(ratio: float, stream: float, latency: float) -> CodecReport:
    offline = {OWN: [(0.25, 0.75)], ENCODEC: [(0.0, ratio)]}
    wall = CodecFigures.of(offline, [(0.0, stream)])
    # What the processor spent is shown, and judges nothing.
    cpu = CodecFigures.of({OWN: [(1.0, 1.0)]}, [(1.0, 1.0)])
    return CodecReport(1.0, 1, wall, cpu, latency, [])


def test_figures_compare_run_by_run() -> None:
    offline = {OWN: [(1.0, 1.0), (2.0, 2.0)], ENCODEC: [(10.0, 10.0), (20.0, 60.0)]}
    figures = CodecFigures.of(offline, [(1.0, 2.0), (5.0, 4.0)])
    assert figures.ratio == {ENCODEC: Spread(15.0, 10.0, 20.0)}
    assert figures.offline[ENCODEC] == (Spread(15.0, 10.0, 20.0), Spread(35.0, 10.0, 60.0))
    assert figures.stream == Spread(6.0, 3.0, 9.0)


def test_goals_can_be_missed() -> None:
    assert all(report(20.0, 0.05, 0.04).goals.values())
    assert not any(report(19.9, 0.051, 0.041).goals.values())


def test_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    """One peer is a stand-in, the other is absent."""

    def same(wave: torch.Tensor, rate: int) -> Coder:
        peer = NeuralCodec.from_pretrained(tiny_model)
        return Coder(lambda: peer.encode(wave), peer.decode)

    def absent(wave: torch.Tensor, rate: int) -> Coder:
        raise SpeechLMError("dac is not installed: make peers")

    monkeypatch.setattr(benchmark, "_encodec", same)
    monkeypatch.setattr(benchmark, "_dac", absent)
    found = benchmark.run(str(tiny_model), seconds=1.0, runs=3)
    for figures in (found.wall, found.cpu):
        assert set(figures.offline) == {OWN, ENCODEC}
        assert 0 < figures.ratio[ENCODEC].median < math.inf
        assert 0 < figures.stream.low < math.inf
        assert figures.stream.low <= figures.stream.median <= figures.stream.high
    assert found.absent == ["dac is not installed: make peers"]
    assert found.latency == 0.04
    json.dumps(found.to_json(), allow_nan=False)
    assert found.table().row_count == 6
