"""The language model of the public API, with random weights and a tiny codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from speechlm import SpeechLM, SpeechLMError, hub
from speechlm.lm.config import DepthConfig, LMConfig
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.model import UnitLM
from speechlm.lm.vocabulary import Vocabulary
from speechlm.tokenizers import load as units
from speechlm.tokenizers.text import FILE as TEXT_MODEL
from speechlm.tokenizers.text import TextTokenizer
from speechlm.training.lm import ids_of

RATE = 16000
HOP = 320
SAMPLING = Sampling(seed=3)


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> SpeechLM:
    text = TextTokenizer.train(["hello world", "good day"])
    vocabulary = Vocabulary(text.size, units.load(tiny_model, 2).units)
    torch.manual_seed(0)
    config = LMConfig(
        name="tiny",
        dim=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        ffn_dim=32,
        max_position_embeddings=400,
        depth=DepthConfig(dim=16, num_layers=1, num_heads=2, ffn_dim=16),
        ids=ids_of(vocabulary),
    )
    folder = tmp_path_factory.mktemp("lm")
    hub.save_model(folder, config, UnitLM(config).state_dict())
    vocabulary.save(folder)
    text.save(folder / TEXT_MODEL)
    return SpeechLM.from_pretrained(folder, units=tiny_model)


@pytest.fixture(scope="module")
def prompt() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, RATE // 2))).float()


@pytest.mark.parametrize("task", ["text", "voice", "speech"])
def test_streamed_equals_generated(task: str, model: SpeechLM, prompt: torch.Tensor) -> None:
    asked = {
        "text": {"text": "hello"},
        "voice": {"text": "hello", "speaker": prompt},
        "speech": {"speech": prompt[0]},
    }[task]
    options = {**asked, "max_seconds": 0.3, "sampling": SAMPLING}
    speech = model.generate(**options)
    assert torch.equal(torch.cat(list(model.stream(**options)))[None], speech.wave)
    assert speech.sample_rate == model.sample_rate == RATE
    delay = speech.tokens.shape[1] * HOP - speech.wave.shape[1]
    assert 0 <= delay <= HOP
    assert speech.tokens.shape[1] == 15 or speech.finished
    assert speech.tokens.shape[1] <= 15


def test_what_ends_before_the_limit_is_finished(model: SpeechLM, prompt: torch.Tensor) -> None:
    """Random weights end at some time: a limit just there or beyond is no reason to stop."""
    whole = model.generate(speech=prompt, max_seconds=60, sampling=SAMPLING)
    frames = whole.tokens.shape[1]
    for limit in (frames - 1, frames, frames + 1):
        speech = model.generate(speech=prompt, max_seconds=limit * HOP / RATE, sampling=SAMPLING)
        assert speech.tokens.shape[1] == min(limit, frames)
        assert speech.finished == (whole.finished and limit >= frames)


def test_text_and_figures(model: SpeechLM, prompt: torch.Tensor) -> None:
    assert isinstance(model.transcribe(prompt), str)
    speech, text = model.score(prompt), model.score(text="hello world")
    assert speech.rate == pytest.approx(sum(speech.bits) / 0.5)
    assert text.length == len("hello world")
    assert min(speech.rate, text.rate) > 0
    given, other = (model.score(wave, "hello world") for wave in (prompt, 0.1 * prompt.flip(-1)))
    assert given.length == text.length
    assert len({sum(text.bits), sum(given.bits), sum(other.bits)}) == 3


def test_several_continue_as_each_alone(model: SpeechLM, prompt: torch.Tensor) -> None:
    speeches = [prompt, prompt[0, : RATE // 4], 0.5 * prompt[:, 1000:]]
    together = model.continue_batch(speeches, 0.3, SAMPLING)
    for number, (speech, found) in enumerate(zip(speeches, together, strict=True)):
        sampling = replace(SAMPLING, seed=SAMPLING.seed + number)
        alone = model.generate(speech=speech, max_seconds=0.3, sampling=sampling)
        assert torch.equal(found.tokens, alone.tokens)
        assert torch.equal(found.wave, alone.wave)
        assert found.finished == alone.finished
    assert model.continue_batch([]) == []


def test_a_path_is_no_waveform(model: SpeechLM) -> None:
    path: Any = "prompt.wav"
    for take in (model.transcribe, model.score, lambda wave: model.generate(speech=wave)):
        with pytest.raises(SpeechLMError, match=r"prompt\.wav: a path, .*speechlm\.load_audio"):
            take(path)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "give a text, or speech"),
        ({"text": "a", "speech": torch.zeros(1, RATE)}, "give a text, or speech"),
        ({"speech": torch.zeros(1, RATE), "speaker": torch.zeros(1, RATE)}, "goes with a text"),
        ({"speech": torch.zeros(2, RATE)}, "a waveform is"),
        ({"speech": torch.zeros(1, RATE, dtype=torch.int16)}, "a waveform is"),
        ({"speech": torch.zeros(1, 0)}, "no samples"),
        ({"speech": torch.zeros(1, 100)}, "shorter than a frame"),
        ({"text": "hello", "max_seconds": 0}, "above 0"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, reason: str, model: SpeechLM) -> None:
    with pytest.raises(SpeechLMError, match=reason):
        model.generate(**arguments)
    with pytest.raises(SpeechLMError, match="give a waveform or a text"):
        model.score()
