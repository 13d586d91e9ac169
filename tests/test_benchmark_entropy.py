"""The benchmark of entropy coding: shares of what packing takes, clip by clip."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechlm import hub
from speechlm.benchmarks import entropy
from speechlm.bitstream.entropy import EntropyModel
from speechlm.codec import NeuralCodec
from speechlm.data import speech
from speechlm.errors import SpeechLMError
from tests.bitstream.entropy.models import arrays


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of three speakers, who have a recording each."""
    folder = tmp_path / "clips"
    for number in range(3):
        wave = np.sin(np.arange(9000 + 3000 * number) / (5 + number))
        (folder / f"{number}").mkdir(parents=True)
        soundfile.write(folder / f"{number}" / "said.wav", 0.3 * wave, 16000)
    return folder


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A codec with an entropy model that knows nothing of its codes."""
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    codec = NeuralCodec.from_pretrained(folder)
    context = EntropyModel(
        arrays(num_codebooks=codec.num_codebooks, codebook_size=codec.codebook_size)
    )
    hub.save_entropy_model(folder, context, codec.weights_hash)
    return folder


def test_it_compares_clip_by_clip(monkeypatch, model, clips):
    codec = NeuralCodec.from_pretrained(model)
    monkeypatch.setattr(entropy, "KBPS", (codec.kbps(1), codec.kbps(), 10 * codec.kbps()))
    report = entropy.run([clips], ["train"], str(model))
    assert [row.num_codebooks for row in report.rows] == [1, codec.num_codebooks]
    assert report.seconds == pytest.approx((9000 + 12000 + 15000) / 16000)
    for row in report.rows:
        assert row.payload.n == row.file.n == 3
        # Never larger than packed, but for the name of the entropy model in the header.
        assert 0 <= row.payload.low <= row.payload.mean <= row.payload.high < 1
        assert row.file.mean < row.payload.mean + 1e-9
        assert row.coded <= 1.1 * row.kbps
        assert row.decode > 0
    # What the payloads of all levels come to, but for their counts and where they end.
    coded = 1e-3 * codec.frame_rate * sum(report.level_bits)
    assert coded == pytest.approx(_unpacked(model, clips, codec), rel=1e-6)
    assert len(report.level_entropy) == codec.num_codebooks
    assert 0 <= max(report.level_entropy) <= codec.bits_per_code
    json.dumps(report.to_json())
    assert report.table().row_count == 2


def test_intervals_are_over_the_speakers_of_each_corpus(monkeypatch, model, clips):
    """Those of two corpora are two under one name; unknown ones are none."""
    codec = NeuralCodec.from_pretrained(model)
    monkeypatch.setattr(entropy, "KBPS", (codec.kbps(),))
    found = speech.find(clips)

    def run(*speakers):
        each = [replace(clip, speaker=who) for clip, who in zip(found, speakers, strict=True)]
        monkeypatch.setattr(speech, "find", lambda source: each)
        report = entropy.run(["one", "two"], ["train"], str(model))
        return report.rows[0].payload, report.table().title

    payload, title = run("a", "a", "b")
    assert (payload.n, payload.clusters) == (6, 4)
    assert "6 clips of 4 speakers" in title
    payload, title = run("a", None, "b")
    assert payload.clusters is None
    assert "6 clips," in title


def test_entropy_is_of_what_was_seen():
    seen = np.array([[4.0, 4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [9.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(entropy._entropy(seen), [1, 2, 0])


def _unpacked(model, clips, codec) -> float:
    """Kbps of all levels, by the bits of each code."""
    total = frames = 0.0
    for path in sorted(clips.rglob("*.wav")):
        codes = codec.encode(torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None])
        total += float(codec.entropy.bits(codes[0].numpy()).sum())
        frames += codes.shape[2]
    return total / frames * codec.frame_rate * 1e-3


def test_nothing_to_measure_is_one_line(model, tiny_model, clips):
    with pytest.raises(SpeechLMError, match="no recordings of dev"):
        entropy.run([clips], ["dev"], str(model))
    with pytest.raises(SpeechLMError, match="no entropy model"):
        entropy.run([clips], ["train"], str(tiny_model))
