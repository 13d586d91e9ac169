"""The mean of models: of their weights, and of nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from speechlm import hub
from speechlm.cli import app
from speechlm.codec import NeuralCodec
from speechlm.errors import SpeechLMError
from speechlm.training.checkpoint_average import average_checkpoints

from ..codec.tiny import config, network


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Three models of one configuration and different weights."""
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        codec = NeuralCodec(network(config()))
        for value in codec.network.parameters():
            value.data.add_(torch.randn_like(value))
        made.append(str(codec.save_pretrained(tmp_path / f"model-{seed}")))
    return made


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / hub.WEIGHTS)


def test_it_is_the_mean_by_their_shares(models: list[str], tmp_path: Path) -> None:
    found = weights(average_checkpoints(models, [2, 1, 1], tmp_path / "out"))
    parts = [weights(model) for model in models]
    for name, value in found.items():
        wanted = 0.5 * parts[0][name].float() + 0.25 * (parts[1][name].float() + parts[2][name])
        assert value.dtype == parts[0][name].dtype
        assert torch.allclose(value.float(), wanted, atol=1e-2)
    NeuralCodec.from_pretrained(tmp_path / "out")


def test_of_one_model_it_is_that_model(models: list[str], tmp_path: Path) -> None:
    average_checkpoints([models[0], models[0]], [0.3, 0.7], tmp_path / "out")
    for name, value in weights(models[0]).items():
        assert torch.equal(weights(tmp_path / "out")[name], value)
    config = (tmp_path / "out" / hub.CONFIG).read_bytes()
    assert config == (Path(models[0]) / hub.CONFIG).read_bytes()


def test_the_weights_of_a_tokenizer_inside_are_no_weights_of_the_model(
    models: list[str], tmp_path: Path
) -> None:
    for model in models[:2]:
        shutil.copytree(models[2], Path(model) / "units")
    average_checkpoints(models[:2], [1, 1], tmp_path / "out")
    inside = tmp_path / "out" / "units" / hub.WEIGHTS
    assert inside.read_bytes() == (Path(models[2]) / hub.WEIGHTS).read_bytes()
    save_file({"a": torch.ones(2)}, Path(models[1]) / "units" / hub.WEIGHTS)
    with pytest.raises(SpeechLMError, match="only weights can be averaged"):
        average_checkpoints(models[:2], [1, 1], tmp_path / "other")


def test_the_verb_takes_equal_shares_unless_told(models: list[str], tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert CliRunner().invoke(app, ["average", str(one), *models[:2]]).exit_code == 0
    told = ["average", str(other), *models[:2], "--weight", "3", "--weight", "3"]
    assert CliRunner().invoke(app, told).exit_code == 0
    assert (one / hub.WEIGHTS).read_bytes() == (other / hub.WEIGHTS).read_bytes()


def test_what_cannot_be_averaged_is_one_line(models: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for shares in ([1.0], [1.0, -1.0], [0.0, 0.0]):
        with pytest.raises(SpeechLMError, match="2 models need as many"):
            average_checkpoints(models[:2], shares, out)
    with pytest.raises(SpeechLMError, match="is one of the models"):
        average_checkpoints(models[:2], [1, 1], Path(models[1]))
    other = Path(shutil.copytree(models[1], tmp_path / "other"))
    save_file({"a": torch.ones(2)}, other / hub.WEIGHTS)
    with pytest.raises(SpeechLMError, match="has other weights than"):
        average_checkpoints([models[0], str(other)], [1, 1], out)
    (other / hub.CONFIG).write_text("name: other\n")
    with pytest.raises(SpeechLMError, match="only weights can be averaged"):
        average_checkpoints([models[0], str(other)], [1, 1], out)
    assert not out.exists()
