"""K-means units: trained by a recipe, tokenized with, and modelled, in all their forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from speechlm.config import load_yaml
from speechlm.data.prepare import prepare
from speechlm.data.tokenize import tokenize
from speechlm.errors import SpeechLMError
from speechlm.lm.language_model import LanguageModel
from speechlm.tokenizers import load as units
from speechlm.tokenizers.text import TextTokenizer
from speechlm.training import registry
from speechlm.training import units as training

ROOT = Path(__file__).parents[2]
RATE, HOP, CLUSTERS = 16000, 320, 12
TONES = (200, 400, 800, 1600)


def tune(random: np.random.Generator) -> np.ndarray:
    """Ten tones, each from 100 to 260 ms long, in some noise."""
    parts = [
        np.sin(2 * np.pi * random.choice(TONES) * np.arange(random.integers(1600, 4160)) / RATE)
        for _ in range(10)
    ]
    wave = 0.3 * np.concatenate(parts)
    return (wave + 0.005 * random.standard_normal(len(wave))).astype(np.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("tunes")
    random = np.random.default_rng(0)
    for number in range(16):
        soundfile.write(source / f"{number:02d}.wav", tune(random), RATE)
        (source / f"{number:02d}.txt").write_text(f"tune {number}")
    out = tmp_path_factory.mktemp("corpora") / "toy"
    settings = [f"path={source}", f"output={out}", "name=toy", "language=en", "split.test=0"]
    prepare(ROOT / "data" / "folder.yaml", [*settings, "split.by=utterance", "split.dev=0.2"])
    return out


def train(corpus: Path, out: Path, *more: str) -> Path:
    settings = [f"data.corpora=[{corpus}]", f"training.out={out}", f"units.clusters={CLUSTERS}"]
    return registry.train_recipe(ROOT / "recipes" / "units-mfcc.yaml", [*settings, *more])


@pytest.fixture(scope="module")
def folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(corpus, tmp_path_factory.mktemp("kmeans"))


def test_a_tone_has_its_units(folder: Path) -> None:
    tokenizer = units.load(folder)
    facts = tokenizer.units
    assert (facts.num_codebooks, facts.codebook_size, facts.hop_length, facts.frame_rate) == (
        1,
        CLUSTERS,
        HOP,
        50,
    )
    noise = 0.005 * torch.randn(1, RATE // 2, generator=torch.manual_seed(0))
    commonest = set()
    for tone in TONES:
        wave = 0.3 * torch.sin(2 * np.pi * tone * torch.arange(RATE // 2) / RATE) + noise
        codes = tokenizer.encode(wave)
        assert codes.shape == (1, 1, 25)
        commonest.add(int(codes[0, 0].mode().values))
    assert len(commonest) == len(TONES)
    # Whole frames alone, while more may follow.
    assert tokenizer.begin(wave[:, :-1]).shape == (1, 1, 24)
    both = tokenizer.encode(wave.repeat(2, 1))
    assert torch.equal(both[0], both[1])
    for call in (lambda: tokenizer.decode(codes), lambda: tokenizer.stream_decoder()):
        with pytest.raises(SpeechLMError, match="has no vocoder: train one by"):
            call()


def test_a_run_that_was_stopped_goes_on(
    corpus: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that were made are kept; the model is the same."""
    monkeypatch.setattr(training, "SHARD", 5)
    real, calls = training.Kept._make, []

    def make(kept: training.Kept, number: int) -> None:
        calls.append(number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(kept, number)

    monkeypatch.setattr(training.Kept, "_make", make)
    with pytest.raises(KeyboardInterrupt):
        train(corpus, tmp_path)
    model = train(corpus, tmp_path)
    assert calls[:3] == [0, 1, 1]
    assert units.load(model).units == units.load(folder).units
    with pytest.raises(SpeechLMError, match="features of another teacher or other speech"):
        train(corpus, tmp_path, "units.teacher.hop_length=160")


def test_forms(corpus: Path, folder: Path, tmp_path: Path) -> None:
    """A tokenizer may give runs or pieces: as many frames in all, in fewer columns."""
    frames = tokenize(corpus, tmp_path / "frames", str(folder))
    run = folder.parent
    runs_folder = train(corpus, run, "units.form.kind=runs", f"training.out={run}")
    runs = tokenize(corpus, tmp_path / "runs", str(runs_folder))
    framed = tokenize(corpus, tmp_path / "framed", str(runs_folder), framed=True)
    assert (runs.units.num_codebooks, runs.units.variable) == (2, True)
    assert framed.units == frames.units
    assert runs.seconds == pytest.approx(frames.seconds, rel=0.2)
    for one, other in zip(runs.entries, frames.entries, strict=True):
        unit, last = runs.codes(one)
        np.testing.assert_array_equal(np.repeat(unit, last + 1), frames.codes(other)[0])
    settings = ["units.form.kind=pieces", "units.form.pieces=30"]
    pieces_folder = train(corpus, run, *settings)
    pieces = tokenize(corpus, tmp_path / "pieces", str(pieces_folder))
    assert CLUSTERS < pieces.units.codebook_size <= 30
    assert sum(e.frames for e in pieces.entries) < sum(e.frames for e in runs.entries)
    tokenizer = units.load(pieces_folder)
    wave = torch.from_numpy(tune(np.random.default_rng(1)))[None]
    assert tokenizer.begin(wave).shape[2] == tokenizer.encode(wave).shape[2] - 1
    with pytest.raises(SpeechLMError, match="takes one recording at a time"):
        tokenizer.encode(wave.repeat(2, 1))
    with pytest.raises(SpeechLMError, match="has 1 to 1 levels, not 2"):
        units.load(pieces_folder, 2)
    train(corpus, run)  # frames again, for whoever comes next


def test_a_language_model_of_them(corpus: Path, folder: Path, tmp_path: Path) -> None:
    """The smoke recipe on k-means units: better than knowing how often each unit comes."""
    tokens = tokenize(corpus, tmp_path / "tokens", str(folder))
    TextTokenizer.train(["tune 0123456789"]).save(tmp_path / "text.model")
    declared = load_yaml(ROOT / "recipes" / "lm-smoke.yaml", ["training.steps=60"])
    declared.data.corpora, declared.data.num_codebooks = [str(tmp_path / "tokens")], 1
    declared.data.tasks = {"speech": {"weight": 1}}
    declared.data.text, declared.training.out = (str(tmp_path / n) for n in ("text.model", "lm"))
    OmegaConf.save(declared, tmp_path / "lm.yaml")
    model = registry.train_recipe(tmp_path / "lm.yaml", [])
    language = LanguageModel.from_pretrained(model)
    tokenizer = language.tokenizer(folder)
    assert tokenizer.units == tokens.units
    held_out = np.concatenate(
        [tokens.codes(e)[0] for e in tokens.entries if e.split == "dev"]
    ).astype(np.int64)
    counts = np.bincount(held_out, minlength=CLUSTERS) + 1
    unigram = -np.log2(counts / counts.sum())[held_out].mean() * 50
    assert language.score(held_out[None]).rate < 0.8 * unigram
    with pytest.raises(SpeechLMError, match="--units"):
        language.tokenizer()


def test_mistakes_are_one_line(corpus: Path, folder: Path, tmp_path: Path) -> None:
    for settings, says in (
        (["units.clusters=100000"], "frames of speech for 100000 clusters"),
        (["data.corpora=[]"], "no speech to train on"),
        (["units.teacher.kind=ears"], "teacher.kind is one of"),
    ):
        with pytest.raises(SpeechLMError, match=says) as no:
            train(corpus, tmp_path / "out", *settings)
        assert "\n" not in str(no.value)
    for settings, says in (
        (["units.clusters=0"], r"units\.clusters is 1 or more, not 0"),
        (["training.passes=0"], r"training\.passes is 1 or more, not 0"),
        (["units.form.kind=words"], "form.kind is one of"),
    ):
        with pytest.raises(SpeechLMError, match=says):
            train(corpus, tmp_path / "none", *settings)
        assert not (tmp_path / "none").exists()  # before any work
    for name in ("features.json", "00000.safetensors"):
        damaged = tmp_path / "out" / "features" / name
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(SpeechLMError, match=rf"{name} is damaged; remove it"):
            train(corpus, tmp_path / "out")
        damaged.unlink()
        assert train(corpus, tmp_path / "out").is_dir()
    broken = tmp_path / "broken"
    broken.mkdir()
    text = (folder / "config.yaml").read_text().replace("clusters: 12", "clusters: 13")
    (broken / "config.yaml").write_text(text)
    (broken / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(SpeechLMError, match="the weights do not fit"):
        units.load(broken)
