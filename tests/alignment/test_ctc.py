"""An aligner that learns: of a language of tones, of which it is known when each is heard."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlm.alignment import ctc
from speechlm.alignment.words import RATE, Aligner
from speechlm.cli import main
from speechlm.data.align import align, build
from speechlm.data.corpus import PreparedCorpus
from speechlm.data.prepare import prepare
from speechlm.errors import SpeechLMError
from speechlm.training import recipes

ROOT = Path(__file__).parents[2]
TONES = {"a": 250.0, "é": 450.0, "b": 800.0, "c": 1500.0, "d": 2800.0}


def speak(words: list[str], random: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """A tone a letter, a pause after each word, and when each word begins and the last ends."""
    wave, begins = [np.zeros(RATE // 10)], []
    for word in words:
        begins.append(sum(map(len, wave)) / RATE)
        for letter in word.lower():
            n = round(random.uniform(0.09, 0.2) * RATE)
            wave.append(0.3 * np.sin(2 * np.pi * TONES[letter] * np.arange(n) / RATE))
        begins.append(sum(map(len, wave)) / RATE)
        wave.append(np.zeros(round(random.uniform(0.05, 0.2) * RATE)))
    sound = np.concatenate(wave)
    return (sound + 1e-4 * random.standard_normal(len(sound))).astype(np.float32), begins


def sentence(random: np.random.Generator) -> list[str]:
    def word() -> str:
        return "".join(random.permutation(list(TONES))[: random.integers(1, 4)])

    return [word().upper() for _ in range(random.integers(2, 5))]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, random = tmp_path_factory.mktemp("tones"), np.random.default_rng(0)
    for number in range(80):
        words = sentence(random)
        soundfile.write(source / f"{number}.wav", speak(words, random)[0], RATE)
        (source / f"{number}.txt").write_text(", ".join(words), "utf-8")
    out = tmp_path_factory.mktemp("corpora") / "toy"
    usual = [f"path={source}", f"output={out}", "language=xx", "split.by=utterance"]
    prepare(ROOT / "data" / "folder.yaml", [*usual, "split.test=0", "split.dev=0.15"])
    return out


def train(corpus: Path, out: Path, *more: str) -> Path:
    usual = [f"data.corpora=[{corpus}]", f"training.out={out}", "data.language=xx"]
    usual += ["aligner.teacher.kind=mfcc", "aligner.dim=48", "aligner.blocks=2", "data.batch=8"]
    usual += ["training.steps=250", "training.average=0.9", "training.optimizer.warmup=20"]
    usual += ["training.optimizer.rate=5e-3"]
    return recipes.run(ROOT / "recipes" / "aligner.yaml", [*usual, *more])


@pytest.fixture(scope="module")
def model(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(corpus, tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def aligner(model: Path) -> Aligner:
    return build(str(model), "xx")


def test_edges_lie_in_the_pauses(aligner: Aligner) -> None:
    """To a frame, in sentences that training did not see."""
    random, inside = np.random.default_rng(1), []
    for _ in range(20):
        words = sentence(random)
        wave, times = speak(words, random)
        found = aligner(wave, " ".join(words))
        assert [word.text for word in found] == words
        assert found[0].start == 0
        for one, over, begins in zip(found, times[1::2], [*times[2::2], np.inf], strict=True):
            inside.append(over - 0.02 <= one.stop <= min(begins + 0.02, over + 0.25))
    assert np.mean(inside) > 0.95


def test_what_cannot_be_aligned_is_said(aligner: Aligner) -> None:
    wave, _ = speak(["ab"], np.random.default_rng(2))
    with pytest.raises(SpeechLMError, match="trained on no letter of 'xyz'"):
        aligner(wave, "ab xyz")
    with pytest.raises(SpeechLMError, match="too short for its transcript"):
        aligner(wave[: RATE // 20], "abcd abcd abcd")
    with pytest.raises(SpeechLMError, match="no word"):
        aligner(wave, "...")
    # A letter that it does not know is none; so is a mark.
    assert [word.text for word in aligner(wave, "«axb»")] == ["«axb»"]


def test_the_verb_takes_it(
    corpus: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["align", str(corpus), "--language", "xx", "--model", str(model)]
    monkeypatch.setattr(sys, "argv", ["speechlm", *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert "aligned │ 80" in " ".join(capfd.readouterr().out.split())
    for cut in PreparedCorpus.open(corpus).cuts("dev"):
        (said,) = cut.supervisions
        texts = [item.symbol for item in said.alignment["word"]]
        assert " ".join(texts) == said.text


def test_a_run_goes_on_and_is_of_its_data(corpus: Path, model: Path, tmp_path: Path) -> None:
    config = ctc.load(model)
    assert sorted(config.letters) == sorted(TONES)
    with pytest.raises(SpeechLMError, match="0 transcribed utterances in nl"):
        train(corpus, tmp_path, "data.language=nl")


def test_only_an_aligner_aligns(corpus: Path, tiny_model: Path) -> None:
    with pytest.raises(SpeechLMError, match="no aligner, but of kind"):
        align(corpus, "xx", str(tiny_model))
