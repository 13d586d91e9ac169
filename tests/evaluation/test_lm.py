"""A language model's suite: on made-up units in which there is something to learn, with sound."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from speechlm import demo
from speechlm.cli import main
from speechlm.codec import load as load_codec
from speechlm.config import load_yaml
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.evaluation.kneser_ney import UnitNgrams
from speechlm.evaluation.lm import config as lm_config
from speechlm.evaluation.lm import generation_stats, tts
from speechlm.evaluation.lm.config import DiscriminationConfig, LMSuiteConfig, TTSConfig
from speechlm.evaluation.lm.discrimination import find as windows
from speechlm.evaluation.lm.generation_stats import generate
from speechlm.evaluation.lm.likelihood import NGRAMS
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.lm.results import LMResults
from speechlm.evaluation.lm.table import markdown
from speechlm.evaluation.lm.tts import Prompt
from speechlm.evaluation.recognition import Recogniser
from speechlm.evaluation.recognition.text import character_errors
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.language_model import LanguageModel
from speechlm.report import suites
from speechlm.tokenizers.codec import CodecUnits
from speechlm.training import registry
from tests.lm.corpora import text_model, tokenized
from tests.tools import require

from .browser import Browser, chromium
from .voices import RATE, voice

ROOT = Path(__file__).parents[2]
SMOKE, RECIPE = ROOT / "eval" / "lm-smoke.yaml", ROOT / "recipes" / "lm-smoke.yaml"
GSLM = ROOT / "eval" / "gslm.yaml"
NAME = "smoke"


class Parrot(Recogniser):
    """Hears two words in everything but the longest wave, which it cannot stand."""

    fingerprint = about = "a parrot"

    def __init__(self) -> None:
        self.heard: list[int] = []

    def transcribe(self, wave: np.ndarray) -> str:
        self.heard.append(len(wave))
        if len(wave) >= 2 * RATE:
            raise RuntimeError("too long")
        return "one two"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> SimpleNamespace:
    """Units of the tiny codec, a model that learned them, and recordings of other sentences."""
    folder = tmp_path_factory.mktemp("lm-suite")
    units = CodecUnits(load_codec(tiny_model), 2).units
    tokens = tokenized(folder / "toy", 240, units)
    for index in tokens.glob("*.jsonl"):
        lines = [json.loads(line) for line in index.read_text("utf-8").splitlines()]
        for line in lines:
            line["split"] = "test" if line["speaker"] == "dan" else line["split"]
        index.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    model = registry.train_recipe(
        RECIPE,
        [
            f"data.corpora=[{tokens}]",
            f"data.text={text_model(folder)}",
            f"training.out={folder / 'run'}",
            "training.steps=30",
            "training.validate_every=30",
            "data.tasks.speech.weight=20",
            "data.validation=4",
        ],
    )
    clips = folder / "clips"
    clips.mkdir()
    for number, text in enumerate(("one two", "three", "one two three four five six")):
        wave = voice(0.8 + 0.6 * number, seed=number)
        soundfile.write(clips / f"voice-{number}.wav", wave, RATE, subtype="PCM_16")
        (clips / f"voice-{number}.txt").write_text(text, "utf-8")
    return SimpleNamespace(folder=folder, tokens=tokens, model=model, clips=clips, codec=tiny_model)


def settings(world: SimpleNamespace, *more: str) -> list[str]:
    sources = [f"{part}.clips.sources=[{world.clips}]" for part in ("asr", "tts", "continuation")]
    own = [f"model={world.model}", f"units={world.codec}", f"tokens=[{world.folder}/*]"]
    return [*own, *sources, f"cache={world.folder / 'cache'}", "normaliser=basic", *more]


@pytest.fixture(scope="module")
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture(scope="module")
def found(world: SimpleNamespace, parrot: Parrot) -> LMResults:
    """The smoke suite, every part of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechlm.evaluation.setup.recognition.build", lambda who: parrot)
        more = ["likelihood.utterances=20", "choice.pairs=60", "choice.prompt=0.1"]
        more += ["choice.seconds=0.2", "asr.clips.limit=3", "tts.clips.limit=3"]
        made = suites.run(SMOKE, settings(world, *more), world.folder / "out")
    assert isinstance(made, LMResults)
    return made


def values(found: LMResults, section: str, system: str, column: str) -> list[float]:
    return found.sections[section].cells(system, column)[0].tolist()


def test_every_part_runs_and_is_on_disk(found: LMResults, world: SimpleNamespace) -> None:
    assert list(found.sections) == [
        "likelihood 0", "likelihood 1", "choice", "asr", "tts", "tts made-up", "continuation",
    ]  # fmt: skip
    assert found.data["absent"] == {}
    assert LMResults.load(world.folder / "out" / "results.json").data == found.data
    for results in found.sections.values():
        for system in results.systems:
            assert len(results.data["rows"][system]) == len(results.data["clips"])
    page = (world.folder / "out" / "report.html").read_text("utf-8")
    for text in ("Likelihood, seed 1", "three", "To hear and read", "prompt until", "data:audio"):
        assert text in page


def test_bits_are_those_of_the_verb_and_of_the_ngrams(
    found: LMResults, world: SimpleNamespace
) -> None:
    tokens = Tokens(world.tokens)
    entries = {entry.id: entry for entry in tokens.entries}
    model = LanguageModel.from_pretrained(world.model)
    train = [tokens.codes(entry) for entry in tokens.entries if entry.split == "train"]
    results = found.sections["likelihood 0"]
    drawn = [entries[clip["id"].split("/")[1]] for clip in results.data["clips"]]
    assert len(drawn) == 20
    assert {entry.speaker for entry in drawn} == {"dan"}
    bits = {NAME: sum(sum(model.score(_codes(tokens, entry)).bits) for entry in drawn)}
    for name, what in NGRAMS.items():
        ngrams = UnitNgrams(train, 1024, *what)
        bits[name] = sum(ngrams.bits(tokens.codes(entry)).sum() for entry in drawn)
    seconds = sum(entry.frames for entry in drawn) / 50
    best = min(bits[name] for name in NGRAMS)
    for name, total in bits.items():
        summary = results.data["summary"][name]
        assert summary["bits"]["mean"] == pytest.approx(total / seconds, rel=1e-5)
        assert summary["against"]["mean"] == pytest.approx(100 * (total / best - 1), abs=1e-3)
        num_codebooks = sum(summary[f"level {level}"]["mean"] for level in (0, 1))
        assert num_codebooks == pytest.approx(summary["bits"]["mean"], rel=1e-5)
    assert bits[NAME] < bits["unigrams"]
    other = [clip["id"] for clip in found.sections["likelihood 1"].data["clips"]]
    assert other != [clip["id"] for clip in results.data["clips"]]


def _codes(tokens: Tokens, entry) -> np.ndarray:
    return tokens.codes(entry).astype(np.int64)


def test_the_real_continuation_is_chosen(found: LMResults, world: SimpleNamespace) -> None:
    """It counts up within words; shuffled and reversed it does not."""
    choice = found.sections["choice"]
    summary = choice.data["summary"]
    for system in (NAME, "trigrams over levels"):
        for column in ("shuffled", "reversed"):
            assert summary[system][column]["mean"] > 90
            assert summary[system][column]["high"] <= 100
        assert summary[system]["spliced"]["n"] == len(choice.data["clips"]) > 30
    # What the prompt adds: bits with it less bits without.
    model, tokens = LanguageModel.from_pretrained(world.model), Tokens(world.tokens)
    entries = {entry.id: entry for entry in tokens.entries}
    added = values(found, "choice", f"{NAME}, by what the prompt adds", "reversed")
    for clip, won in list(zip(choice.data["clips"], added, strict=True))[:5]:
        name, start = re.fullmatch(r"toy/(\w+) at ([\d.]+) s", clip["id"]).groups()
        first = round(50 * float(start))
        codes = _codes(tokens, entries[name])[:, first : first + 15]
        prompt, rest = codes[:, :5], codes[:, 5:]
        gains = [
            model.bits(each).sum() - model.bits(np.concatenate([prompt, each], axis=1), 5).sum()
            for each in (rest, rest[:, ::-1])
        ]
        assert won == 100 * (gains[0] > gains[1])


def test_windows_do_not_overlap_and_the_first_of_each_come_first(world: SimpleNamespace) -> None:
    subject = ModelUnderTest(
        LMSuiteConfig(model=str(world.model), tokens=[str(world.tokens)]), None
    )  # type: ignore[arg-type]
    found = windows(DiscriminationConfig(pairs=1000, prompt=0.1, seconds=0.1), subject)
    starts = [window.start for window in found]
    assert starts == sorted(starts)
    assert set(starts) == {0, 10}
    assert all(window.prompt.shape == window.rest.shape == (2, 5) for window in found)
    least = windows(DiscriminationConfig(pairs=1000, prompt=0.001, seconds=0.001), subject)
    assert all(window.prompt.shape == window.rest.shape == (2, 1) for window in least)
    with pytest.raises(SpeechLMError, match="fewer than two test utterances last 9 s"):
        windows(DiscriminationConfig(prompt=4, seconds=5), subject)


def test_errors_stand_beside_the_recognisers(found: LMResults) -> None:
    """Of the third recording, that is too long for the parrot, nobody knows."""
    asr = found.sections["asr"]
    assert asr.systems == [NAME, "tiny-en", "tiny-en, of units"]
    assert values(found, "asr", "tiny-en", "wer")[:2] == [0, 200]
    summary = asr.data["summary"]["tiny-en"]["wer"]
    assert (summary["mean"], summary["n"], summary["failed"]) == (pytest.approx(200 / 3), 2, 1)
    assert summary["reasons"] == {"RuntimeError: too long": 1}
    assert asr.data["summary"][NAME]["wer"]["n"] == 3
    assert asr.data["summary"]["tiny-en"]["rtf"]["n"] == 0


def test_what_is_said_is_new_and_stands_beside_its_floors(
    found: LMResults, world: SimpleNamespace
) -> None:
    tts = found.sections["tts"]
    trained = {entry.text for entry in Tokens(world.tokens).entries if entry.split == "train"}
    assert "one two" in trained  # so it is not to be said
    assert [clip["text"] for clip in tts.data["clips"]] == ["three", "one two three four five six"]
    assert tts.systems == [NAME, "units", "recording"]
    wrong = character_errors("three", "one two")
    assert values(found, "tts", "recording", "cer:tiny-en")[0] == pytest.approx(100 * wrong.rate)
    summary = tts.data["summary"]
    assert summary["recording"]["ended"]["n"] == summary["recording"]["ended"]["failed"] == 0
    for column in ("ended", "unlooped", "seconds"):
        assert summary[NAME][column]["n"] == 2
    assert len(found.sections["tts made-up"].data["clips"]) == 2


def test_a_second_run_asks_no_recogniser_about_the_same_sound(
    found: LMResults, world: SimpleNamespace, parrot: Parrot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speechlm.evaluation.setup.recognition.build", lambda who: parrot)
    before = len(parrot.heard)
    more = ["likelihood=null", "choice=null", "tts.clips.limit=3", "asr.clips.limit=3"]
    again = suites.run(SMOKE, settings(world, *more), world.folder / "again")
    assert isinstance(again, LMResults)
    assert len(parrot.heard) - before == sum(size >= 2 * RATE for size in parrot.heard[before:])
    for section in ("asr", "tts", "continuation"):
        for system in again.sections[section].systems:
            for column in set(again.sections[section].columns) - {"rtf", "first"}:
                assert values(again, section, system, column) == pytest.approx(
                    values(found, section, system, column), nan_ok=True
                )


def test_a_sweep_is_a_suite_of_its_own(
    world: SimpleNamespace, parrot: Parrot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("speechlm.evaluation.setup.recognition.build", lambda who: parrot)
    texts = tmp_path / "texts.txt"
    texts.write_text("one two three\none two\n", "utf-8")
    own = [f"model={world.model}", f"units={world.codec}", f"cache={world.folder / 'cache'}"]
    own += [f"sweep.{key}=[{texts}]" for key in ("texts", "words")]
    own += [f"sweep.clips.sources=[{world.clips}]", "sweep.clips.min_seconds=0.5"]
    own += ["sweep.prompt=0.3", "sweep.seconds=0.2", "sweep.temperatures=[0.5,1]"]
    own += ["recognisers.base={kind: whisper, model: /a/folder}", "normaliser=basic"]
    found = suites.run(GSLM, own, tmp_path / "out")
    assert isinstance(found, LMResults)
    assert found.data["absent"] == {}
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "VERT-2" in page
    for who in ("tiny-en", "base"):
        swept = found.sections[f"sweep:{who}"]
        assert swept.systems == [f"{NAME} at 0.5", f"{NAME} at 1", "recording"]
        # All that the parrot hears is the same, and so the recordings are at no one temperature.
        assert swept.data["summary"]["recording"]["self"]["mean"] == 100
        points = found.sections[f"sweep points:{who}"]
        assert points.data["summary"][NAME]["auc"]["failed"] == 3
        assert f"Operating points of the sweep, heard by {who}" in page
        assert f"heard by {who}: AUC, n=0" in markdown({"a": found})


@pytest.mark.parametrize(("variable", "samples"), [(False, 100), (True, 150)])
def test_units_that_may_last_longer_are_heard_whole(variable: bool, samples: int) -> None:
    def decode(units: torch.Tensor, length: int | None, voice: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 150)[:, :length]

    tokenizer: Any = SimpleNamespace(
        units=SimpleNamespace(variable=variable), encode=lambda wave: wave, decode=decode
    )
    subject: Any = SimpleNamespace(tokenizer=tokenizer)
    assert len(ModelUnderTest.given_back(subject, np.zeros(100, np.float32))) == samples


def test_the_least_that_goes_on_is_a_frame(world: SimpleNamespace, tmp_path: Path) -> None:
    more = ["likelihood=null", "choice=null", "asr=null", "tts=null", "recognisers.tiny-en=null"]
    found = suites.run(SMOKE, settings(world, *more, "continuation.seconds=0.005"), tmp_path)
    assert isinstance(found, LMResults)
    assert found.data["absent"] == {}
    assert values(found, "continuation", NAME, "unlooped") == [100, 100]


def test_units_without_a_codec_are_judged_as_units(world: SimpleNamespace, tmp_path: Path) -> None:
    """The shipped codec has other units: what needs sound says so, and the rest runs."""
    more = ["units=null", "likelihood.seeds=1", "recognisers.tiny-en=null", "choice.prompt=0.1"]
    found = suites.run(SMOKE, settings(world, *more, "choice.seconds=0.1"), tmp_path)
    assert isinstance(found, LMResults)
    assert list(found.sections) == ["likelihood 0", "choice"]
    assert set(found.data["absent"]) == {"asr", "tts", "continuation"}
    assert all("the model speaks 2 levels of tiny" in why for why in found.data["absent"].values())
    assert "not run" in (tmp_path / "report.html").read_text("utf-8").lower()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("kind=vocoder", "kind is one of codec, conversion, lm, not vocoder"),
        (
            "sweep.clips.sources=[x] sweep.temperatures=[1,0.5]",
            r"sweep\.temperatures are 0 or more, from low to high",
        ),
        ("likelihood.seeds=0", r"likelihood\.seeds is above 0"),
        ("choice.prompt=-1", r"choice\.prompt is above 0"),
        ("continuation.seconds=.inf", r"continuation\.seconds is above 0 and finite"),
        ("tts.clips=null tts.made_up=0", "tts has nothing to say"),
        ("likelihood.draws=3", r"unknown key likelihood\.draws"),
        ("page.audio=wav", r"page\.audio=wav is none of"),
        ("model=nowhere", "nowhere: not a model folder"),
    ],
)
def test_a_bad_suite_is_one_line(
    override: str, says: str, world: SimpleNamespace, tmp_path: Path
) -> None:
    more = ["recognisers.tiny-en=null", *override.split()]
    with pytest.raises(SpeechLMError, match=says) as no:
        suites.run(SMOKE, settings(world, *more), tmp_path / "out")
    assert "\n" not in str(no.value)


def test_nothing_that_runs_is_an_error(world: SimpleNamespace, tmp_path: Path) -> None:
    more = ["tokens=[nowhere]", "asr=null", "tts=null", "continuation=null"]
    own = [f"model={world.model}", "recognisers.tiny-en=null", *more]
    with pytest.raises(SpeechLMError, match="no part of the suite runs here: likelihood: no token"):
        suites.run(SMOKE, own, tmp_path)


def test_goals_are_judged_by_their_direction_and_n(found: LMResults) -> None:
    goals = {(goal["section"], goal["column"]): goal for goal in found.data["goals"]}
    assert goals["choice", "shuffled"]["mean"] > 90 and not goals["choice", "shuffled"]["met"]
    asr = found.sections["asr"].data["summary"][NAME]
    assert ("asr", "wer") not in goals
    assert goals["asr", "written"]["mean"] == asr["written"]["mean"]
    assert goals["asr", "written"]["met"] == (asr["written"]["mean"] <= 30)
    assert goals["continuation", "rtf"]["met"] == (goals["continuation", "rtf"]["mean"] <= 1)
    assert ("likelihood 1", "against") in goals and ("tts", "cer:tiny-en") in goals


def test_models_stand_side_by_side(
    found: LMResults,
    world: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    other = LMResults(json.loads(json.dumps(found.data)))
    del other.data["sections"]["asr"]
    other.data["sections"]["tts"]["summary"][NAME]["ended"]["n"] += 1
    lines = markdown({"a": found, "b": other}).splitlines()
    table = {
        title: cells for title, *cells in ([c.strip() for c in x.split("|")[1:-1]] for x in lines)
    }
    assert table[""] == ["a", "b"]
    bits = found.sections["likelihood 1"].data["summary"][NAME]["bits"]
    shown = table["Likelihood, seed 1: Units, bits/s, n=20"]
    interval = "" if bits["low"] is None else f" ({bits['low']:.1f} to {bits['high']:.1f})"
    assert shown == [f"{bits['mean']:.1f}{interval}"] * 2
    assert table["Speech to text: WER, %, n=3"][1] == "\u2013"
    first, second = table["Text to speech: Ends by itself, %"]
    assert first.endswith(", n=2") and second == first[:-1] + "3"
    written = world.folder / "out" / "results.json"
    monkeypatch.setattr(
        sys, "argv", ["speechlm", "compare", "--markdown", str(written), f"b={written}"]
    )
    with pytest.raises(SystemExit):
        main()
    assert capfd.readouterr().out == markdown({NAME: found, "b": found})


def test_the_demonstration_goes_on_and_says_a_sentence(
    world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "SECONDS", 0.4)
    model = LanguageModel.from_pretrained(world.model)
    source = world.clips / "voice-0.wav"
    going, saying = demo.speak(source, tmp_path, model, str(world.codec))
    assert saying.text == demo.SENTENCE
    wave = going.samples[0].wave
    assert wave is not None and 0.8 * RATE <= len(wave) <= 1.2 * RATE
    assert {path.name for path in tmp_path.iterdir()} == {"continued.wav", "said.wav"}
    monkeypatch.setattr("speechlm.evaluation.suite.runtime.measure", lambda plan: {})
    page = demo.write_page(source, tmp_path, str(world.codec), [going, saying])
    html = page.read_text("utf-8")
    assert "Spoken sentence" in html and "continued.wav" in html and 'href="#spoken"' in html
    with pytest.raises(SpeechLMError, match="the model speaks 2 levels of tiny"):
        demo.speak(source, tmp_path, model, None)


@pytest.mark.parametrize("named", [True, False])
def test_the_demonstration_speaks_when_there_is_a_model(
    named: bool, world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []

    def write_page(source: Path, out: Path, model: str, spoken: list[object]) -> Path:
        shown.append(len(spoken))
        return out / "report.html"

    monkeypatch.setattr(demo, "SECONDS", 0.1)
    monkeypatch.setattr(demo, "run", lambda *arguments: [])
    monkeypatch.setattr(demo, "write_page", write_page)
    options = ["--lm", str(world.model)] if named else []
    words = ["demo", world.clips / "voice-0.wav", "--out", tmp_path, "--model", world.codec]
    monkeypatch.setattr(sys, "argv", ["speechlm", *map(str, words), *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert shown == [2 if named else 0]


def test_the_page_opens_without_an_error_also_on_a_phone(
    found: LMResults, world: SimpleNamespace
) -> None:
    require(chromium() is not None, "chromium (Debian: chromium)")
    page = world.folder / "out" / "report.html"
    with Browser() as window:
        window.open(page, 375, 812)
        assert [each for each in window.requests if not each.startswith("data:")] == [
            page.resolve().as_uri()
        ]
        assert window.run("document.documentElement.scrollWidth") == 375
        # Seven sections, one of goals and one of notes; a title sorts.
        assert window.run("document.querySelectorAll('section').length") == 9
        window.run("document.querySelector('#likelihood-0 thead th:nth-child(2) button').click()")
        first = "document.querySelector('#likelihood-0 tbody tr th').textContent"
        summary = found.sections["likelihood 0"].data["summary"]
        assert window.run(first) == min(summary, key=lambda name: summary[name]["bits"]["mean"])
        assert window.errors == []


def test_what_is_generated_is_timed_and_its_end_seen(world: SimpleNamespace) -> None:
    model = LanguageModel.from_pretrained(world.model)
    tokenizer = model.tokenizer(world.codec)
    frames = np.zeros((3, 2), np.int64)
    made = generate(iter(frames), 4, 2, tokenizer.stream_decoder())
    assert made.ended and made.frames == 3 and 0 < made.first <= made.work
    assert not generate(iter(frames), 3, 2, tokenizer.stream_decoder()).ended
    nothing = generate(iter(frames[:0]), 3, 2, tokenizer.stream_decoder())
    assert nothing.ended and nothing.codes.shape == (2, 0)
    assert math.isnan(nothing.first) == (len(nothing.wave) == 0)
    assert generation_stats.cells(nothing, 16000)["unlooped"].reason == "nothing was said"
    assert generation_stats.cells(made, 16000)["unlooped"].value == 100
    cut = generate(iter(frames), 4, 2, tokenizer.stream_decoder(), len(made.wave) - 100)
    assert not cut.ended and np.array_equal(cut.wave, made.wave[:-100])
    assert generate(iter(frames), 4, 2, tokenizer.stream_decoder(), len(made.wave)).ended


def test_a_suite_file_says_which_parts_it_has() -> None:
    declared = load_yaml(ROOT / "eval" / "lm.yaml", ["asr=null"])
    made = lm_config.fill(declared, ROOT / "eval" / "lm.yaml")
    assert made.asr is None and made.likelihood is not None and made.likelihood.seeds == 3


@pytest.mark.parametrize(("cut", "ended"), [([], 100.0), ([1], 0.0)])
def test_a_word_that_had_to_be_cut_is_no_end(
    cut: list[int], ended: float, world: SimpleNamespace
) -> None:
    model = LanguageModel.from_pretrained(world.model)

    def say(text: str, frames: int, how: Sampling, truncated: list[int]) -> Iterator[np.ndarray]:
        truncated += cut
        return iter(np.zeros((3, 2), np.int64))

    subject = SimpleNamespace(
        model=SimpleNamespace(units=model.units, synthesize=say),
        tokenizer=model.tokenizer(world.codec),
        ears=SimpleNamespace(hear=lambda wave, rate: {}, cells=lambda text, heard: {}),
        num_codebooks=2,
        rate=RATE,
    )
    section = Section("Said", "", generation_stats.COLUMNS)
    section.system("model", "")
    section.item("sentence")
    card = tts._said(section, "model", Prompt("sentence", "one two"), 0, TTSConfig(), subject)
    [row] = section.rows["model"]
    assert row["cells"]["ended"]["value"] == ended
    assert (card.note == "") == (not cut)
