"""The language models that the package ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from speechlm import whisper
from speechlm.codec import NeuralCodec
from speechlm.lm.generate.sampling import GREEDY, Sampling
from speechlm.lm.language_model import LanguageModel
from speechlm.lm.pipelines import transcribe_waves
from speechlm.vocoder import VocodedUnits
from speechlm.vocoder.convert import convert
from tests.tools import require


def test_lm_16k_speaks_the_units_of_the_shipped_codec() -> None:
    model, codec = LanguageModel.from_pretrained("lm-16k"), NeuralCodec.from_pretrained()
    assert model.units.weights == codec.weights_hash
    assert model.tokenizer().units == model.units
    said = np.stack(list(model.synthesize("good morning", 8, GREEDY)), axis=1)
    assert said.shape == (4, 8)
    assert said.min() >= 0
    assert said.max() < codec.codebook_size


@pytest.fixture
def hearing() -> None:
    """Whisper, of whose encoder the units are."""
    require(whisper.installed(), "Whisper tiny.en (speechlm[asr])")


@pytest.mark.usefixtures("hearing")
def test_the_default_reads_what_it_has_said(sample: Path) -> None:
    """Words that it says and then writes down, with the tokenizer and vocoder that it names."""
    model = LanguageModel.from_pretrained()
    tokenizer = model.tokenizer()
    assert isinstance(tokenizer, VocodedUnits)
    assert tokenizer.units == model.units
    text = "one two three four five"
    said = np.stack(list(model.synthesize(text, 400, GREEDY)), axis=1)
    wave = tokenizer.decode(torch.from_numpy(said)[None])[0].numpy()
    assert 1 < len(wave) / tokenizer.units.sample_rate < 6
    heard = transcribe_waves([wave], model, tokenizer).split()
    assert len(set(heard) & set(text.split())) >= 4
    wave, _ = soundfile.read(sample, dtype="float32")
    assert len(transcribe_waves([wave], model, tokenizer)) > 20


@pytest.mark.usefixtures("hearing")
def test_the_default_vocoder_keeps_the_time(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    convert(sample, sample, out, None)
    assert soundfile.info(out).frames == soundfile.info(sample).frames


@pytest.fixture(scope="module")
def units_lm() -> LanguageModel:
    return LanguageModel.from_pretrained("lm-units")


# (speech or text, sampling, first codes of each codebook)
FIXED_SEEDS = [
    (
        "continue",
        Sampling(seed=1),
        [[355, 434, 86, 465, 164, 455, 240, 248], [0, 0, 0, 5, 1, 0, 0, 0]],
    ),
    (
        "continue",
        Sampling(temperature=1.3, top_k=9, top_p=0.9, repetition_window=0.1, seed=3),
        [[33, 117, 224, 86, 38, 245, 301, 186], [0, 0, 0, 0, 0, 2, 1, 0]],
    ),
    ("speak", GREEDY, [[129, 144, 71, 362, 6, 444, 196, 23], [0, 1, 0, 0, 1, 2, 2, 0]]),
    (
        "speak",
        Sampling(temperature=0.8, guidance=2.0, seed=5),
        [[129, 444, 196, 23, 148, 86, 228, 63], [1, 6, 2, 1, 1, 0, 0, 1]],
    ),
]


@pytest.mark.parametrize(("task", "sampling", "expected"), FIXED_SEEDS)
def test_a_seed_gives_the_same_codes_in_every_version(
    units_lm: LanguageModel, task: str, sampling: Sampling, expected: list[list[int]]
) -> None:
    number, size = units_lm.units.num_codebooks, units_lm.units.codebook_size
    prompt = (np.arange(20 * number) * 37 % size).reshape(number, 20)
    if task == "continue":
        frames = units_lm.continue_speech(prompt, 24, sampling)
    else:
        frames = units_lm.synthesize("good morning", 24, replace(sampling, best_of=1))
    assert np.stack(list(frames), axis=1)[:, :8].tolist() == expected
