"""Models on the hub: what is uploaded, and the cards of what ships."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub import ModelCard

import speechlm
from speechlm import SpeechLMError, hub, publish
from speechlm.codec import NeuralCodec
from tests.models import tiny_lm, tiny_vocoder

SHIPPED = sorted(path.parent for path in hub.SHIPPED.glob(f"*/{hub.CONFIG}"))


class FakeApi:
    """A hub that keeps what is uploaded in a folder."""

    folder: Path
    failure: Exception | None = None

    def __init__(self, token: str | None = None):
        self.token = token

    def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> str:
        assert exist_ok
        if FakeApi.failure is not None:
            raise FakeApi.failure
        return f"hub:{repo_id}{' (private)' if private else ''}"

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str) -> None:
        shutil.copytree(folder_path, FakeApi.folder / repo_id)


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(FakeApi, "folder", tmp_path / "hub", raising=False)
    return tmp_path / "hub"


def test_what_is_uploaded_is_the_model(tiny_model: Path, tmp_path: Path, uploads: Path) -> None:
    vocoder = tiny_vocoder(tiny_model, tmp_path / "vocoder")
    lm = tiny_lm(tiny_model, tmp_path / "lm")
    models: dict[str, Any] = {
        "codec": speechlm.Codec.from_pretrained(tiny_model),
        "tokenizer": speechlm.Tokenizer.from_pretrained(tiny_model, num_codebooks=2),
        "vocoder": speechlm.Vocoder.from_pretrained(vocoder),
        "lm": speechlm.SpeechLM.from_pretrained(lm),
    }
    sources = {"codec": tiny_model, "tokenizer": tiny_model, "vocoder": vocoder, "lm": lm}
    for name, model in models.items():
        assert model.push_to_hub(f"me/{name}", private=True) == f"hub:me/{name} (private)"
        uploaded = uploads / "me" / name
        for path in sources[name].rglob("*"):
            same = uploaded / path.relative_to(sources[name])
            assert path.is_dir() or same.read_bytes() == path.read_bytes()
        assert ModelCard.load(uploaded / "README.md").data.library_name == "speechlm"
        described = json.loads((uploaded / "config.json").read_text())
        assert described["config"] == yaml.safe_load((uploaded / hub.CONFIG).read_text())
    again = speechlm.SpeechLM.from_pretrained(uploads / "me" / "lm")
    ours, theirs = models["lm"].model.network.state_dict(), again.model.network.state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())


def test_a_card_is_kept_and_the_folder_stays_as_it_is(
    tiny_model: Path, tmp_path: Path, uploads: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "codec")
    (folder / "README.md").write_text("my card")
    (folder / hub.JSON_CONFIG).unlink()  # as in older folders
    assert publish.push_to_hub(folder, "me/codec", token="x") == "hub:me/codec"
    assert (uploads / "me" / "codec" / "README.md").read_text() == "my card"
    kind = json.loads((uploads / "me" / "codec" / "config.json").read_text())["model_type"]
    assert kind == "speechlm-codec"
    assert not (folder / hub.JSON_CONFIG).exists()


def test_what_cannot_be_uploaded(
    tiny_model: Path, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpeechLMError, match="codec: a repository is called owner/name"):
        publish.push_to_hub(tiny_model, "codec")
    with pytest.raises(SpeechLMError, match="not a model folder"):
        publish.push_to_hub("no", "me/no")
    network = NeuralCodec.from_pretrained(tiny_model).network
    with pytest.raises(SpeechLMError, match="was not loaded from a folder"):
        NeuralCodec(network).push_to_hub("me/codec")
    monkeypatch.setattr(FakeApi, "failure", RuntimeError("401 Unauthorized\nmore"))
    with pytest.raises(SpeechLMError, match=r"me/codec: cannot be uploaded .*: 401 Unauthorized$"):
        publish.push_to_hub(tiny_model, "me/codec")


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_cards_say_what_they_measured(folder: Path) -> None:
    card = ModelCard.load(folder / "README.md")
    data = card.data
    assert data.license == "mit"
    assert data.library_name == "speechlm"
    assert data.language
    assert data.tags
    for corpus in data.datasets:
        assert re.search(rf"\b{corpus}\b", card.text) or corpus in LONGER
    assert {result.metric_type for result in data.eval_results} <= set(data.metrics)
    values = re.findall(r"value: (\S+)}", (folder / "README.md").read_text("utf-8"))
    assert len(values) == len(data.eval_results) > 0
    for value in values:  # with its interval, in a table of the card
        assert re.search(rf"[| ]{re.escape(value)} \(", card.text), value


LONGER = {"common-voice", "african-storybook", "ljspeech-part"}
"""Corpora that cards call by their published names."""
