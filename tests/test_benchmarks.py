"""The speed benchmark: what it reports, not how fast this machine is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from speechlm.benchmarks import codec as benchmark
from speechlm.benchmarks.codec import ENCODEC, Coder, Report, Spread
from speechlm.codec import NeuralCodec
from speechlm.errors import SpeechLMError


def test_spread() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def report(ratio: float, stream: float, latency: float) -> Report:
    one = Spread.of([stream])
    return Report(1.0, 1, {}, {ENCODEC: Spread.of([ratio])}, one, one, one, latency, [])


def test_goals_can_be_missed() -> None:
    assert all(report(20.0, 0.1, 0.04).goals.values())
    assert not any(report(19.9, 0.11, 0.041).goals.values())


def test_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    """One peer is a stand-in that takes as long as the codec itself, the other is absent."""

    def same(wave: torch.Tensor, rate: int) -> Coder:
        peer = NeuralCodec.from_pretrained(tiny_model)
        return Coder(lambda: peer.encode(wave), peer.decode)

    def absent(wave: torch.Tensor, rate: int) -> Coder:
        raise SpeechLMError("dac is not installed: make peers")

    monkeypatch.setattr(benchmark, "_encodec", same)
    monkeypatch.setattr(benchmark, "_dac", absent)
    found = benchmark.run(str(tiny_model), seconds=1.0, runs=3)
    assert set(found.offline) == {"speechlm", ENCODEC}
    assert 0.05 < found.ratio[ENCODEC].median < 20
    assert found.absent == ["dac is not installed: make peers"]
    assert found.latency == 0.04
    values = found.to_json()
    assert all(math.isfinite(values[name]["median"]) for name in ("stream", "stream_encode"))
    assert values["stream"]["low"] > 0
