"""The comparison of bitrates: what is the same in both, and what is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechlm import audio
from speechlm.benchmarks import rate
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError


def test_a_report_holds_both_kinds_and_their_difference(monkeypatch, sample: Path):
    wave, sample_rate = audio.read(sample)
    clips = [
        Utterance(
            id=str(i),
            split=split,
            load=lambda i=i: (wave[i * 20000 :][:30000], sample_rate),
            speaker=f"s{i}",
        )
        for i, split in enumerate(("test", "train", "test"))
    ]
    monkeypatch.setattr("speechlm.data.speech.find", lambda source: clips)
    report = rate.run(Path("corpus"), kbps=(2.0,))
    (row,) = report.rows
    assert row.real.n == 2
    assert row.real.mean == pytest.approx(2.0, rel=0.2)  # two seconds do not pay off a header
    assert row.gain["stoi"].mean > 0
    for found in (row.real, row.constant["stoi"], row.variable["stoi"], row.gain["stoi"]):
        assert (found.n, found.clusters) == (2, 2)
    table = report.table()
    assert table.row_count == 2
    assert "2 recordings of 2 speakers" in table.title
    monkeypatch.setattr("speechlm.data.speech.find", lambda source: clips[1:2])
    with pytest.raises(SpeechLMError, match="no test recordings"):
        rate.run(Path("corpus"))
