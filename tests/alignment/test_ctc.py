"""An aligner that learns: of a language of tones, of which it is known when each is heard."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm import hub
from speechlm.alignment import ctc
from speechlm.alignment.words import RATE, Aligner
from speechlm.benchmarks import align as benchmark
from speechlm.cli import main
from speechlm.data.align import align, build
from speechlm.data.corpus import PreparedCorpus
from speechlm.data.prepare import prepare
from speechlm.errors import SpeechLMError
from speechlm.training import registry
from tests.training.test_processes import finish, launch, losses
from tests.vocoder.test_vocoder import WORKER

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


def prepared(folders: pytest.TempPathFactory, utterances: int) -> Path:
    """A corpus of sentences of tones, with their texts."""
    source, random = folders.mktemp("tones"), np.random.default_rng(0)
    for number in range(utterances):
        words = sentence(random)
        soundfile.write(source / f"{number}.wav", speak(words, random)[0], RATE)
        (source / f"{number}.txt").write_text(", ".join(words), "utf-8")
    out = folders.mktemp("corpora") / "toy"
    usual = [f"path={source}", f"output={out}", "language=xx", "split.by=utterance"]
    prepare(ROOT / "data" / "folder.yaml", [*usual, "split.test=0", "split.dev=0.15"])
    return out


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory, 80)


def arguments(corpus: Path, *more: str) -> list[str]:
    usual = [f"data.corpora=[{corpus}]", "data.language=xx"]
    usual += ["aligner.teacher.kind=mfcc", "aligner.dim=48", "aligner.blocks=2", "data.batch=8"]
    usual += ["training.steps=250", "training.ema_decay=0.9", "training.optimizer.warmup=20"]
    usual += ["training.optimizer.rate=5e-3"]
    return [*usual, *more]


def train(corpus: Path, out: Path, *more: str) -> Path:
    made = arguments(corpus, f"training.out={out}", *more)
    return registry.train_recipe(ROOT / "recipes" / "aligner.yaml", made)


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


def test_the_benchmark_finds_it_near(corpus: Path, model: Path) -> None:
    report = benchmark.run(corpus, [str(model)], "dev", "xx", 20)
    (row,) = report.rows
    assert row.off.n == 20
    # Where the second begins with the letter with which the first ends, nothing tells.
    assert row.far.mean <= 30
    assert row.median <= 20
    headers = ["aligner", "n", "speakers", "off, ms", "median", "over 100 ms, %"]
    assert [column.header for column in report.table().columns] == headers
    one, other = (benchmark.find(corpus, "dev", "xx", 3) for _ in range(2))
    assert [each.text for each in one] == [each.text for each in other]
    for joint in one:
        assert 0.1 < joint.seconds < len(joint.wave) / RATE - 0.1
        assert 0 < joint.word < len(joint.text.split())
    with pytest.raises(SpeechLMError, match="no speaker of the test split"):
        benchmark.find(corpus, "test", "xx", 3)


def test_what_cannot_be_aligned_is_said(aligner: Aligner, corpus: Path, model: Path) -> None:
    wave, _ = speak(["ab"], np.random.default_rng(2))
    with pytest.raises(SpeechLMError, match="a word of which the aligner knows no letter"):
        aligner(wave, "ab xyz")
    with pytest.raises(SpeechLMError, match="too short for its transcript"):
        aligner(wave[: RATE // 20], "abcd abcd abcd")
    with pytest.raises(SpeechLMError, match="no word"):
        aligner(wave, "...")
    # A letter that it does not know is none; so is a mark.
    assert [word.text for word in aligner(wave, "«axb»")] == ["«axb»"]
    with pytest.raises(SpeechLMError, match="an aligner of 'xx', not 'en'"):
        align(corpus, "en", str(model))
    config, weights = hub.load_model(model, ctc.AlignerConfig)
    with pytest.raises(SpeechLMError, match="was trained with another mfcc"):
        ctc.CTCAligner(replace(config, fingerprint="another"), weights)


def test_accents_are_letters_however_they_are_written() -> None:
    assert ctc.normalize("Cafe\u0301, 3 _x_!") == "café3x"


@settings(max_examples=10)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 99))
def test_a_batch_is_its_examples(frames: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    network = ctc.AlignerNetwork(ctc.AlignerConfig(letters="abc", dim=8), 5).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    x = torch.randn(len(frames), max(frames), 5)
    with torch.no_grad():
        found = network(x, torch.tensor(frames))
        for row, number in enumerate(frames):
            alone = network(x[row : row + 1, :number])
            torch.testing.assert_close(found[row : row + 1, :number], alone, atol=1e-5, rtol=1e-4)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(SpeechLMError, match="kernel is odd, not 4"):
        ctc.AlignerNetwork(ctc.AlignerConfig(letters="abc", kernel=4), 5)


def test_aligned_by_the_verb_its_corpora_stay_those_that_it_learnt_from(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def verb(*options: str) -> str:
        words = ["speechlm", "align", str(corpus), "--language", "xx", "--model", str(model)]
        monkeypatch.setattr(sys, "argv", [*words, *options])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        return " ".join(capfd.readouterr().out.split())

    model = train(corpus, tmp_path / "run", "training.steps=3")
    weights = (model / hub.WEIGHTS).read_bytes()
    assert "aligned │ 80" in verb()
    for cut in PreparedCorpus.open(corpus).cuts("dev"):
        (said,) = cut.supervisions
        texts = [item.symbol for item in said.alignment["word"]]
        assert " ".join(texts) == said.text
    assert "aligned before │ 80" in verb()
    assert "aligned │ 80" in verb("--force")
    # Resumed at its end, a run is what it was.
    assert train(corpus, tmp_path / "run", "training.steps=3") == model
    assert (model / hub.WEIGHTS).read_bytes() == weights


def test_two_processes_share_a_batch(corpus: Path, tmp_path: Path) -> None:
    made = arguments(corpus, "training.steps=3", "training.log_every=1", "aligner.dropout=0")
    curves = []
    for count in (1, 2):
        out = tmp_path / f"{count}"
        recipe = ROOT / "recipes" / "aligner.yaml"
        finish(launch(count, recipe, *made, f"training.out={out}", worker=WORKER))
        curves.append(losses(out))
    assert len(curves[0]) == 3
    torch.testing.assert_close(curves[1], curves[0], atol=0, rtol=1e-4)


def test_training_needs_transcripts_of_its_language(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="0 transcribed utterances in nl"):
        train(corpus, tmp_path, "data.language=nl")
    assert not list(tmp_path.iterdir())


def test_only_an_aligner_aligns(corpus: Path, tiny_model: Path) -> None:
    with pytest.raises(SpeechLMError, match="no aligner, but of kind"):
        align(corpus, "xx", str(tiny_model))
