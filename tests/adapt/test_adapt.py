"""Adaptation of tiny models to a few seconds of sounds: what changes, what stays, what is left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st

from speechlm import hub
from speechlm.adapt import codec as codec_adaptation
from speechlm.adapt import lm as lm_adaptation
from speechlm.adapt import measure
from speechlm.adapt import vocoder as vocoder_adaptation
from speechlm.adapt.comparison import compared, markdown_table
from speechlm.adapt.options import AdaptOptions
from speechlm.adapt.recordings import DEV_SHARE, FEWEST, TEST_SHARE, _split
from speechlm.adapt.run import Adapted, adapt
from speechlm.codec import NeuralCodec
from speechlm.codec.config import CodecConfig
from speechlm.data.splits import assign
from speechlm.errors import SpeechLMError
from speechlm.lm.config import LMConfig
from speechlm.lm.vocabulary import Vocabulary
from speechlm.training.checkpoint import load_checkpoint
from speechlm.training.losses.whisper_features import WhisperFeatureConfig
from speechlm.vocoder import VocodedUnits
from tests.models import tiny_lm, tiny_vocoder

RATE = 16000
MINUTES = 0.02
QUICK = ["mel", "stoi"]


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    """A process has one precision; other tests have another than these."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen recordings of a second, with texts."""
    made = tmp_path_factory.mktemp("recordings") / "my voice"
    made.mkdir()
    random = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    for number in range(14):
        glide = np.sin(2 * np.pi * (150 + 10 * number) * time * (1 + 0.2 * time))
        wave = 0.3 * glide + 0.02 * random.standard_normal(RATE)
        soundfile.write(made / f"{number}.wav", wave, RATE)
        (made / f"{number}.txt").write_text(f"take {'abcdefghijklmn'[number]}")
    return made


@pytest.fixture
def codec(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny codec with the file of an entropy model; quick metrics and no Whisper."""
    monkeypatch.setattr(codec_adaptation, "METRICS", QUICK)
    monkeypatch.setattr(codec_adaptation, "_asr_feature", lambda rate: WhisperFeatureConfig())
    model = tmp_path / "codec"
    shutil.copytree(tiny_model, model)
    shutil.copyfile(hub.SHIPPED / hub.DEFAULT_CODEC / hub.CONTEXT, model / hub.CONTEXT)
    return model


def run(family: str, folder: Path, model: Path, out: Path, **more: object) -> Adapted:
    options = AdaptOptions(str(model), folder, out, minutes=MINUTES, **more)  # type: ignore[arg-type]
    return adapt(family, options, lambda line: None)


def test_a_decoder_is_adapted_and_codes_stay(codec: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("codec", folder, codec, out, licence="CC0")
    before, after = (NeuralCodec.from_pretrained(model) for model in (codec, done.model))
    assert after.weights_hash == before.weights_hash
    assert after.fingerprint != before.fingerprint
    assert after.network.config == before.network.config
    wave = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0)) / 10
    assert torch.equal(after.encode(wave), before.encode(wave))
    assert (done.model / hub.CONTEXT).read_bytes() == (codec / hub.CONTEXT).read_bytes()
    # Two rates, on the recordings that are held out.
    assert {row.condition for row in done.rows} == {"0.5 kbps", "1 kbps"}
    assert {row.difference.n for row in done.rows} == {done.corpus.utterances["test"]} == {2}
    card = (done.model / "README.md").read_text()
    for expected in ("CC0", f"{done.facts['step']} steps", markdown_table(done.rows), "my voice"):
        assert expected in card
    assert (out / "evaluation" / "report.html").is_file()
    # Run again, it has nothing left to train.
    step = load_checkpoint(out / "checkpoint.pt")["step"]
    again = run("codec", folder, codec, out, licence="CC0")
    assert load_checkpoint(out / "checkpoint.pt")["step"] == step == again.facts["step"]
    assert again.rows == done.rows
    with pytest.raises(SpeechLMError, match="holds another adaptation"):
        run("codec", folder, codec, out, train_all=True)


def test_all_of_a_codec_is_another_codec(codec: Path, folder: Path, tmp_path: Path) -> None:
    done = run("codec", folder, codec, tmp_path / "out", train_all=True)
    config, _ = hub.load_model(done.model, CodecConfig)
    assert config.name == "tiny-my-voice"
    first, second = (NeuralCodec.from_pretrained(model) for model in (codec, done.model))
    assert first.weights_hash != second.weights_hash
    assert not (done.model / hub.CONTEXT).exists()
    assert any(note.startswith("entropy model: left out") for note in done.notes)


def test_a_vocoder_keeps_its_units(
    folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "recognisers", lambda options: {})
    monkeypatch.setattr(vocoder_adaptation, "TIMED", ["mel", "f0"])
    model = tiny_vocoder(tiny_model, tmp_path / "vocoder")
    done = run("vocoder", folder, model, tmp_path / "out")
    before, after = (VocodedUnits.from_pretrained(each) for each in (model, done.model))
    assert after.units == before.units
    assert not torch.equal(after.network.usual, before.network.usual)
    assert any("my voice" in note for note in done.notes)
    assert "true durations" in {row.condition for row in done.rows}


def test_a_language_model_keeps_its_vocabulary(
    folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_adaptation, "recognisers", lambda options: {})
    model = tiny_lm(tiny_model, tmp_path / "lm")
    made, _ = hub.load_model(model, LMConfig)
    done = run("lm", folder, model, tmp_path / "out", language="en")
    config, _ = hub.load_model(done.model, LMConfig)
    assert config == replace(made, name="tiny-my-voice")
    assert Vocabulary.load(done.model) == Vocabulary.load(model)
    measures = {(row.condition, row.measure) for row in done.rows}
    assert ("", "Units bits/s") in measures
    assert ("ASR", "WER %") in measures

    silent = tmp_path / "silent"
    shutil.copytree(folder, silent, ignore=shutil.ignore_patterns("*.txt"))
    with pytest.raises(SpeechLMError, match="no texts of the train recordings"):
        run("lm", silent, model, tmp_path / "other", language="en")


def test_what_cannot_be_adapted_to(codec: Path, folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    with pytest.raises(SpeechLMError, match="0 recordings are too few"):
        run("codec", few, codec, tmp_path / "out")
    for path in sorted(folder.glob("*.wav"))[: FEWEST - 1]:
        shutil.copy(path, few)
    with pytest.raises(SpeechLMError, match=f"{FEWEST - 1} recordings are too few"):
        run("codec", few, codec, tmp_path / "out")
    with pytest.raises(SpeechLMError, match="no such folder"):
        run("codec", tmp_path / "nothing", codec, tmp_path / "out")
    with pytest.raises(SpeechLMError, match="--minutes is above 0"):
        AdaptOptions(str(codec), folder, tmp_path / "out", minutes=0)


@given(st.sets(st.text("abcdefgh-0123456789", min_size=1, max_size=8), min_size=FEWEST))
def test_as_many_recordings_are_held_out_as_are_wanted(names: set[str]) -> None:
    split = _split(sorted(names))
    found = [assign(name, split.dev, split.test) for name in names]
    assert found.count("test") == max(2, round(TEST_SHARE * len(names)))
    assert found.count("dev") == max(2, round(DEV_SHARE * len(names)))


def test_differences_are_paired_and_weighted() -> None:
    facts = {"title": "WER", "unit": "%", "digits": 1, "better": "lower"}
    columns = {"wer": facts, "none": facts}
    before = [{"wer": {"value": v, "weight": w}} for v, w in ((10.0, 1.0), (30.0, 3.0))]
    after = [{"wer": {"value": v, "weight": w}} for v, w in ((5.0, 1.0), (25.0, 3.0))]
    rows = compared("x", columns, [*before, {"wer": {"value": 1.0}}], [*after, {}])
    assert len(rows) == 1  # nothing is known of the other column
    row = rows[0]
    assert row.difference.mean == pytest.approx(-5.0)
    assert (row.difference.n, row.texts[-1]) == (2, "better")
    assert row.difference.low == pytest.approx(-5.0) == pytest.approx(row.difference.high)
