"""Texts in any encoding, several recordings of one name, and commands that data name."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlm.data import speech
from speechlm.data.config import FolderConfig
from speechlm.data.shar import Shar
from speechlm.data.sources import folder
from speechlm.errors import SpeechLMError
from speechlm.utils.text import read_text


@pytest.mark.parametrize(
    "data",
    [
        "café".encode(),
        codecs.BOM_UTF8 + "café".encode(),
        "café".encode("utf-16"),
        codecs.BOM_UTF16_BE + "café".encode("utf-16-be"),
        "café".encode("utf-32"),
        "café".encode("latin-1"),
    ],
)
def test_texts_of_common_encodings(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    assert read_text(tmp_path / "a.txt") == "café"
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    config = FolderConfig(name="x", kind="folder", path=str(tmp_path), output="none")
    (one,) = folder.source(config).utterances
    assert one.text == "café"


def test_a_list_with_a_mark_and_an_empty_text(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    line = json.dumps({"audio": "a.wav", "text": "hi"}).encode()
    (tmp_path / "l.jsonl").write_bytes(codecs.BOM_UTF8 + line)
    config = FolderConfig(name="x", kind="folder", path=str(tmp_path), output="none")
    assert [one.text for one in folder.source(config).utterances] == ["hi"]
    (tmp_path / "l.jsonl").unlink()
    (tmp_path / "a.txt").write_text(" \n")
    assert [one.text for one in folder.source(config).utterances] == [None]


def test_recordings_of_one_stem_have_ids_of_their_own(tmp_path: Path) -> None:
    for name in ("a.flac", "a.wav"):
        soundfile.write(tmp_path / name, np.zeros(100), 16000)
    config = FolderConfig(name="x", kind="folder", path=str(tmp_path), output="none")
    assert [one.id for one in folder.source(config).utterances] == ["a", "a-wav"]


def test_commands_that_data_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = {
        "id": "a",
        "type": "MonoCut",
        "start": 0.0,
        "duration": 1.0,
        "channel": 0,
        "recording": {
            "id": "a",
            "sources": [{"type": "command", "channels": [0], "source": f"touch {tmp_path}/ran"}],
            "sampling_rate": 16000,
            "num_samples": 16000,
            "duration": 1.0,
        },
    }
    (tmp_path / "cuts.jsonl").write_text(json.dumps(cut) + "\n")
    listed = {"cuts": [f"pipe:touch {tmp_path}/ran"], "recording": ["a.tar"]}
    (tmp_path / "shards.json").write_text(json.dumps(listed))
    with pytest.raises(SpeechLMError, match=r"names a shell command .*--allow-commands"):
        speech.find(tmp_path / "cuts.jsonl")
    with pytest.raises(SpeechLMError, match=r"names a shell command .*--allow-commands"):
        Shar.find(tmp_path / "shards.json")
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("SPEECHLM_ALLOW_COMMANDS", "1")
    assert len(speech.find(tmp_path / "cuts.jsonl")) == 1
    assert Shar.find(tmp_path / "shards.json") is not None
