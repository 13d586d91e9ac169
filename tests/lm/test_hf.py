"""Weights to and from the Llama of transformers."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.lm import hf
from speechlm.lm.config import IdsConfig, LMConfig
from speechlm.lm.model import UnitLM
from speechlm.nn import PackedSequences
from tests.lm import tiny
from tests.tools import require

VOCABULARY = 30


def llama(tied: bool = False) -> Any:
    """A random small Llama of transformers."""
    require(importlib.util.find_spec("transformers") is not None, "transformers: pip .[hf]")
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
            tie_word_embeddings=tied,
            initializer_range=0.2,
        )
    )
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" in name:
                weight.mul_(1 + 0.3 * torch.randn_like(weight))
    return made.eval()


def settings(kind: str = "depth", tied: bool = False) -> LMConfig:
    ids = IdsConfig(specials=8, text=VOCABULARY, codebook_size=16, num_codebooks=3)
    made = tiny.config(kind, ids=ids)
    return replace(made, tie_word_embeddings=tied, rope_theta=500.0, norm_eps=1e-6)


def pieces_of(folder: Path) -> list[str]:
    """Write a tokenizer of so many pieces beside a model; its pieces."""
    pieces = [f"▁{number}" for number in range(VOCABULARY)]
    vocabulary = {piece.replace("▁", "Ġ"): number for number, piece in enumerate(pieces)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return pieces


def single(length: int) -> PackedSequences:
    return PackedSequences(torch.zeros(1, length, dtype=torch.int64))


@pytest.mark.parametrize("tied", [False, True])
@torch.no_grad()
def test_warm_start_gives_the_same_logits(tied: bool, tmp_path: Path) -> None:
    theirs = llama(tied)
    theirs.save_pretrained(tmp_path)
    model = UnitLM(settings(tied=tied)).eval()
    assert hf.warm_start(model, tmp_path, pieces_of(tmp_path)) == VOCABULARY
    text = torch.randint(VOCABULARY, (1, 20))
    tokens = torch.full((1, 3, 20), model.config.ids.pad)
    tokens[:, 0] = text + 8
    found = model(tokens, single(20)) @ model.output[8 : 8 + VOCABULARY].t()
    expected = theirs(text).logits
    assert expected.std() > 0.5
    assert torch.allclose(found, expected, atol=1e-4)


def test_training_goes_on_from_it(tmp_path: Path) -> None:
    """The loss starts where the text model's is, but for the ids that are new, and falls."""
    theirs = llama()
    theirs.save_pretrained(tmp_path)
    model = UnitLM(settings())
    hf.warm_start(model, tmp_path, pieces_of(tmp_path))
    text = torch.randint(VOCABULARY, (2, 20))
    tokens = torch.full((2, 3, 20), model.config.ids.pad)
    tokens[:, 0] = text + 8
    mask, segments = tokens >= 8, torch.zeros(2, 20, dtype=torch.int64)
    with torch.no_grad():
        logits = theirs(text).logits[:, :-1]
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(20):
        adam.zero_grad()
        loss, _ = model.loss(tokens, mask, segments)
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    # More ids share the probability than the text model has.
    assert float(expected) < losses[0] < float(expected) + 2.5
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", tiny.KINDS)
@torch.no_grad()
def test_export_gives_the_same_logits(kind: str, tied: bool, tmp_path: Path) -> None:
    llama()  # or a skip
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = UnitLM(settings(kind, tied)).eval()
    for weight in model.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    model.embedding.weight[model.config.ids.pad] = 0
    theirs = LlamaForCausalLM.from_pretrained(hf.export(model, tmp_path)).eval()
    tokens = tiny.example(model)[None]
    expected = model(tokens, single(tokens.shape[2]))
    summed = theirs.get_input_embeddings()(tokens).sum(1)
    found = theirs(inputs_embeds=summed).logits[..., : model.outputs]
    assert torch.allclose(found, expected @ model.output.t(), atol=1e-4)
    if kind == "flatten":
        assert torch.allclose(theirs(tokens[:, 0]).logits, found, atol=1e-5)


@pytest.mark.parametrize("kind", tiny.KINDS)
@torch.no_grad()
def test_there_and_back(kind: str, tmp_path: Path) -> None:
    """All of the model, without transformers."""
    model = tiny.model(kind)
    again = UnitLM(model.config).eval()
    folder = hf.export(model, tmp_path / "there")
    assert hf.warm_start(again, folder, []) == model.size
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_some_pieces_are_shared(tmp_path: Path) -> None:
    model = tiny.model("flatten")
    folder = hf.export(model, tmp_path)
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": [["a", -1.0], ["b", -2.0], ["▁c", -3.0]]}})
    )
    other = UnitLM(replace(model.config, ids=IdsConfig(8, 12, 20, 3)))
    assert hf.warm_start(other, folder, ["b", "x", "▁c", "▁a"]) == 2
    assert torch.equal(other.embedding.weight[8], model.embedding.weight[1])
    assert torch.equal(other.head[10], model.head[2])
    assert not (other.embedding.weight[9] == model.embedding.weight).all(1).any()
    assert not other.embedding.weight[0].any()


def test_no_piece_is_shared(tmp_path: Path) -> None:
    """Another text tokenizer, or none: nothing would be kept of the embeddings."""
    model = tiny.model("flatten")
    hf.export(model, tmp_path)
    other = UnitLM(replace(model.config, ids=IdsConfig(8, 11, 20, 3)))
    with pytest.raises(SpeechLMError, match="none of this recipe's pieces of text"):
        hf.warm_start(other, tmp_path, ["a", "b"])


def test_no_model_of_ours_is_overwritten(tmp_path: Path) -> None:
    model = tiny.model()
    folder = hub.save_model(tmp_path, model.config, model.state_dict())
    before = (folder / hub.WEIGHTS).read_bytes()
    with pytest.raises(SpeechLMError, match="holds a model already: name another folder"):
        hf.export(model, folder)
    assert (folder / hub.WEIGHTS).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 64}, "dim is 64 there, 32 here"),
        ({"model_type": "gpt2"}, "gpt2"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "llama3"),
        (
            {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 4}},
            "rope_type is linear there",
        ),
        ({"attention_bias": True}, "biases"),
        ({"num_key_value_heads": None}, "kv_heads is 4 there"),
    ],
)
def test_models_that_do_not_fit(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = tiny.model()
    hf.export(model, tmp_path)
    path = tmp_path / hf.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SpeechLMError, match=message) as caught:
        hf.warm_start(model, tmp_path, [])
    assert "\n" not in str(caught.value)


def test_damaged_folders(tmp_path: Path) -> None:
    model = tiny.model()
    with pytest.raises(SpeechLMError, match="no such file"):
        hf.warm_start(model, tmp_path, [])
    hf.export(model, tmp_path)
    weights = load_file(tmp_path / hf.WEIGHTS)
    weights.pop("model.norm.weight")
    save_file(weights, tmp_path / hf.WEIGHTS)
    with pytest.raises(SpeechLMError, match=r"lack 'model\.norm"):
        hf.warm_start(model, tmp_path, [])
    (tmp_path / hf.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(SpeechLMError, match=r"model\.safetensors"):
        hf.warm_start(model, tmp_path, [])
    with pytest.raises(SpeechLMError, match="no Llama"):
        hf.export(tiny.model(backbone="gru"), tmp_path)
