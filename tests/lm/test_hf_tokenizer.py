"""An exported language model in transformers: its tokenizer and its generation are the model's."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechlm import SpeechLM, hub
from speechlm.lm import hf
from speechlm.lm.generate.sampling import GREEDY
from speechlm.lm.hf_tokenizer import save_tokenizer
from speechlm.lm.vocabulary import GENERATE_SPEECH, SPEECH, Vocabulary
from speechlm.tokenizers.base import Units
from speechlm.tokenizers.text import TextTokenizer
from tests.models import tiny_lm
from tests.tools import require

NAMES = ("<unk>", "<s>", "</s>", "<0x")
"""Pieces of sentencepiece that are no text; a text that spells one out is none that is spoken."""
TEXT = [
    "good morning, it's five o'clock",
    "seventeen hundred and one",
    "the tea is ready and the tea is cold",
]


@pytest.fixture(autouse=True)
def transformers() -> None:
    require(importlib.util.find_spec("transformers") is not None, "transformers: pip .[hf]")


@pytest.fixture(scope="module", params=["shipped", "char", "unigram"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A vocabulary, its text tokenizer, and what transformers reads."""
    from transformers import AutoTokenizer

    if request.param == "shipped":
        folder = hub.SHIPPED / hub.DEFAULT_LM
        vocabulary, text = Vocabulary.load(folder), TextTokenizer.load(folder / "text.model")
    else:
        text = TextTokenizer.train(TEXT, request.param, 310, lower=request.param == "unigram")
        vocabulary = Vocabulary(text.size, Units("x", "0", 16000, 320, 2, 4))
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder, vocabulary, text)
    return vocabulary, text, AutoTokenizer.from_pretrained(folder)


@settings(max_examples=50, deadline=None)
@given(written=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
@example("Good  Morning, it's five o'clock")
@example(" café ﬁne №5 ß 日本 𝄞\tx\n")
def test_texts_have_the_ids_of_the_model(pair, written: str) -> None:
    # Control characters but tab and newline are left out: transformers drops some of them.
    vocabulary, text, tokenizer = pair
    if any(name in written for name in NAMES) or "<|" in written:
        return
    ids = [int(id) for id in vocabulary.from_pieces(text.encode(written))]
    assert tokenizer(written)["input_ids"] == ids
    assert tokenizer.decode(ids) == text.normalise(written)


def test_units_and_special_tokens_have_names(pair) -> None:
    vocabulary, _, tokenizer = pair
    assert len(tokenizer) == vocabulary.size
    ids = tokenizer(f"{SPEECH}<|0:3|><|1:2|>")["input_ids"]
    assert ids == [vocabulary.id(SPEECH), vocabulary.level(0)[3], vocabulary.level(1)[2]]
    assert tokenizer.pad_token_id == vocabulary.id("<pad>")


@torch.no_grad()
def test_greedy_generation_of_one_stream_is_that_of_transformers(
    tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    lm = SpeechLM.from_pretrained(tiny_lm(tiny_model, tmp_path / "lm", "flatten", num_codebooks=1))
    torch.manual_seed(1)
    for weight in lm.model.network.parameters():  # initial weights give one unit again and again
        if weight.ndim > 1:
            weight.add_(0.15 * torch.randn_like(weight))
    folder = hf.export_pretrained(lm.model, tmp_path / "llama")
    wave = 0.1 * torch.randn(8000)
    ours = lm.generate(speech=wave, max_seconds=0.8, sampling=GREEDY).tokens
    vocabulary = lm.model.vocabulary
    prompt = vocabulary.from_codes(lm.tokenizer.begin(wave[None])[0].numpy())[0]
    ids = torch.tensor([[vocabulary.id(GENERATE_SPEECH), *map(int, prompt)]])
    llama = AutoModelForCausalLM.from_pretrained(folder)
    theirs = llama.generate(ids, max_new_tokens=40)[0, ids.shape[1] :]
    assert len(set(theirs.tolist())) > 5
    assert torch.equal(theirs - vocabulary.level(0).start, ours[0])


def test_a_model_of_several_streams_has_no_rules_of_generation(
    tiny_model: Path, tmp_path: Path
) -> None:
    lm = SpeechLM.from_pretrained(tiny_lm(tiny_model, tmp_path / "lm", num_codebooks=2))
    folder = hf.export_pretrained(lm.model, tmp_path / "llama")
    assert not (folder / "generation_config.json").exists()
    assert json.loads((folder / "tokenizer.json").read_text())["model"]["unk_id"] == 8


def test_a_tokenizer_of_merges_is_left_out_with_a_warning(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lm = SpeechLM.from_pretrained(tiny_lm(tiny_model, tmp_path / "lm"))
    lm.model.text = TextTokenizer.train(TEXT, "bpe", 290)
    folder = hf.export_pretrained(lm.model, tmp_path / "llama")
    assert (folder / hf.TOKENIZER).is_file()
    assert not (folder / "tokenizer.json").exists()
    assert "no tokenizer.json: the text tokenizer is of a kind" in caplog.text
