"""The verbs of a language model, with a tiny one of random weights and its tiny codec."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from speechlm import hub
from speechlm.cli import main
from speechlm.errors import SpeechLMError
from speechlm.lm import pipelines
from speechlm.lm.config import DepthConfig, LMConfig
from speechlm.lm.generate.generator import Generator
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.language_model import LanguageModel
from speechlm.lm.model import UnitLM
from speechlm.lm.tasks import TASKS, Example
from speechlm.lm.vocabulary import Vocabulary
from speechlm.tokenizers import load as units
from speechlm.tokenizers.base import UnitTokenizer
from speechlm.tokenizers.text import FILE as TEXT_MODEL
from speechlm.tokenizers.text import TextTokenizer
from speechlm.training.lm import ids_of

RATE = 16000
KINDS = ("depth", "delay", "flatten")
Run = Callable[..., str]


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> UnitTokenizer:
    return units.load(tiny_model, 2)


@pytest.fixture(scope="module")
def folders(tokenizer: UnitTokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders by pattern, of two levels of the tiny codec."""
    text = TextTokenizer.train(["hello world", "good day"])
    vocabulary = Vocabulary(text.size, tokenizer.units)
    made = {}
    for kind in KINDS:
        torch.manual_seed(0)
        config = LMConfig(
            name="tiny",
            dim=32,
            num_layers=1,
            num_heads=2,
            num_kv_heads=1,
            ffn_dim=32,
            max_position_embeddings=400,
            pattern=kind,
            depth=DepthConfig(dim=16, num_layers=1, num_heads=2, ffn_dim=16),
            ids=ids_of(vocabulary),
        )
        folder = tmp_path_factory.mktemp(kind)
        hub.save_model(folder, config, UnitLM(config).state_dict())
        vocabulary.save(folder)
        text.save(folder / TEXT_MODEL)
        made[kind] = folder
    return made


@pytest.fixture
def run(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Run the command line in this process with a model and its codec; what it printed."""

    def invoke(*arguments: object, model: Path | None = None, expect: int = 0) -> str:
        options: list[object] = [] if model is None else ["--model", model, "--units", tiny_model]
        words = [str(each) for each in ["speechlm", *arguments, *options]]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            main()
        assert (stop.value.code or 0) == expect
        printed = capfd.readouterr()
        return printed.err if expect else printed.out

    return invoke


@pytest.mark.parametrize("kind", KINDS)
def test_continue(kind: str, folders: dict[str, Path], run: Run, tmp_path: Path) -> None:
    """The recording comes back, and more after it; the same seed gives the same."""
    prompt = tmp_path / "prompt.wav"
    soundfile.write(prompt, np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    outs = [tmp_path / f"{name}.wav" for name in "abc"]
    for out, seed in zip(outs, (1, 1, 2), strict=True):
        run("continue", prompt, out, "--seconds", 0.5, "--seed", seed, model=folders[kind])
    first, same, other = (soundfile.read(out)[0] for out in outs)
    assert RATE < len(first) <= RATE * 1.5
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seconds", [1e-9, 0.005, 0.01])
@pytest.mark.parametrize("kind", KINDS)
def test_the_least_is_a_frame(
    kind: str,
    seconds: float,
    folders: dict[str, Path],
    tokenizer: UnitTokenizer,
    run: Run,
    tmp_path: Path,
) -> None:
    prompt, out = tmp_path / "prompt.wav", tmp_path / "out.wav"
    soundfile.write(prompt, np.zeros(RATE), RATE)
    run("continue", prompt, out, "--seconds", seconds, model=folders[kind])
    _, heard = pipelines.encode_prompt(prompt, tokenizer)
    all_of_it = tokenizer.decode(torch.zeros(1, 2, heard.shape[1] + 1, dtype=torch.int64))
    assert soundfile.info(out).frames == all_of_it.shape[1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cold", [1e-7, 1e-50, 5e-324])
def test_the_coldest_speech_is_the_most_probable(
    cold: float, folders: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    prompt = tmp_path / "prompt.wav"
    soundfile.write(prompt, np.zeros(RATE), RATE)
    outs = [tmp_path / "cold.wav", tmp_path / "zero.wav"]
    for out, temperature in zip(outs, (cold, 0), strict=True):
        options = ["--seconds", 0.2, "--temperature", temperature]
        run("continue", prompt, out, *options, model=folders["depth"])
    assert outs[0].read_bytes() == outs[1].read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_is_offline(
    kind: str, folders: dict[str, Path], tokenizer: UnitTokenizer, sample: Path, tmp_path: Path
) -> None:
    """The file holds what the codec makes of all the codes at once; sound comes frame by frame."""
    model = LanguageModel.from_pretrained(folders[kind])
    how = Sampling(seed=5)
    out = tmp_path / "out.wav"
    spoken = pipelines.continue_recording(sample, out, model, tokenizer, 1.0, how)
    _, heard = pipelines.encode_prompt(sample, tokenizer)
    new = np.stack(list(model.continue_speech(heard, 50, how)), axis=1)
    whole = torch.from_numpy(np.concatenate([heard, new], axis=1))[None]
    expected = tokenizer.decode(whole)[0].clamp(-1, 1).numpy()
    found = soundfile.read(out, dtype="float32")[0]
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() < 2e-4
    assert spoken.seconds == pytest.approx(new.shape[1] / tokenizer.units.frame_rate)
    assert 0 < spoken.first_seconds <= spoken.wall_seconds
    pieces = list(pipelines.decode_frames(iter(new.T), tokenizer.stream_decoder()))
    assert len(pieces) == new.shape[1] + 1
    assert sum(map(len, pieces[:3])) > 0


def test_units_that_differ_in_length_go_on_no_longer(
    folders: dict[str, Path], tokenizer: UnitTokenizer, tmp_path: Path
) -> None:
    """Each unit sounds three times as long as one does on average: the time is up earlier."""
    prompt, out = tmp_path / "prompt.wav", tmp_path / "out.wav"
    soundfile.write(prompt, np.zeros(RATE), RATE)
    model = LanguageModel.from_pretrained(folders["depth"])
    model.units = replace(model.units, variable=True)
    slow: Any = SimpleNamespace(
        units=model.units,
        begin=tokenizer.begin,
        stream_decoder=lambda wave: SimpleNamespace(
            push=lambda codes: torch.zeros(1, 3 * 320 * codes.shape[2]),
            flush=lambda: torch.zeros(1, 5),
        ),
    )
    spoken = pipelines.continue_recording(prompt, out, model, slow, 0.5, Sampling(seed=1))
    assert spoken.seconds == 0.5
    assert len(soundfile.read(out)[0]) == 3 * RATE + RATE // 2


@pytest.mark.parametrize("kind", KINDS)
def test_say_and_transcribe(
    kind: str,
    folders: dict[str, Path],
    tokenizer: UnitTokenizer,
    run: Run,
    sample: Path,
    tmp_path: Path,
) -> None:
    model = folders[kind]
    for number, more in enumerate(([], ["--voice", sample])):
        out = tmp_path / f"{number}.wav"
        run("say", "hello. world", out, *more, "--temperature", 0.5, model=model)
        assert 0 < soundfile.info(out).frames < 6 * RATE
    loaded = LanguageModel.from_pretrained(model)
    _, heard = pipelines.encode_prompt(sample, tokenizer)
    assert 0 < len(loaded.transcribe(heard[:, :100])) <= loaded.context
    assert run("transcribe", sample, model=model)


@pytest.mark.parametrize("kind", KINDS)
def test_the_voice_is_what_the_model_is_given(
    kind: str,
    folders: dict[str, Path],
    tokenizer: UnitTokenizer,
    run: Run,
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A quarter of the context of it."""
    given = []

    def nothing(self: Generator, prompts: list[np.ndarray], *more: Any) -> Iterator[Any]:
        given.extend(prompts)
        return iter(())

    monkeypatch.setattr(Generator, "generate_speech", nothing)
    run("say", "hello", tmp_path / "out.wav", "--voice", sample, model=folders[kind])
    model = LanguageModel.from_pretrained(folders[kind])
    _, heard = pipelines.encode_prompt(sample, tokenizer)
    voice = heard[:, : 50 if kind == "flatten" else 100]
    example = Example(text=model.text.encode("hello"), voice=voice)
    [prompt] = given
    assert np.array_equal(prompt, model.layout.prompt(TASKS["tts-voice"], example))


def test_guidance_moves_away_from_what_is_said_without_the_text(folders: dict[str, Path]) -> None:
    model = LanguageModel.from_pretrained(folders["depth"])
    torch.manual_seed(0)
    for weight in model.network.parameters():
        if weight.ndim > 1:
            weight.add_(0.15 * torch.randn_like(weight))

    def said(text: str, guidance: float | None) -> list[list[int]]:
        how = Sampling(temperature=0.0, guidance=guidance)
        return [frame.tolist() for frame in model.synthesize(text, 10, how)]

    assert said("hello", 0.0) == said("world", 0.0)  # which does not see it
    assert said("hello", 1.0) != said("world", 1.0)
    assert said("hello", 1.0) != said("hello", 8.0)
    assert said("hello", None) == said("hello", 1.0)
    model.generator.guidance = 8.0
    assert said("hello", None) == said("hello", 8.0)


def test_of_several_attempts_the_best_understood_is_taken(folders: dict[str, Path]) -> None:
    model = LanguageModel.from_pretrained(folders["depth"])
    how = Sampling(temperature=1.0, seed=5)

    def said(attempts: int | None, seed: int = 5) -> list[list[int]]:
        chosen = replace(how, best_of=attempts, seed=seed)
        return [frame.tolist() for frame in model.synthesize("hello", 10, chosen)]

    every = [said(1, 5 + (number << 32)) for number in range(4)]
    bits = [model.text_bits("hello", np.array(each).T) for each in every]
    assert len(set(bits)) == 4
    assert said(4) == every[int(np.argmin(bits))]
    assert said(2) == every[int(np.argmin(bits[:2]))]
    assert said(None) == said(1) == every[0]
    model.network.config.best_of = 4
    assert said(None) == said(4)
    assert model.text_bits("hello" * 100, np.array(every[0]).T) == math.inf
    with pytest.raises(SpeechLMError, match="best-of is 1 or more, not 0"):
        replace(how, best_of=0)


def test_options_reach_the_verbs(
    folders: dict[str, Path],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    sample: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in.wav", "me.wav"):
        shutil.copy(sample, name)
    given: list[Any] = []

    def note(*arguments: object) -> pipelines.GenerationTiming:
        given.append(arguments)
        return pipelines.GenerationTiming(1.0, 0.1, 0.5)

    monkeypatch.setattr(pipelines, "continue_recording", note)
    monkeypatch.setattr(pipelines, "synthesize", note)
    options = ["--temperature", 0.5, "--top-k", 7, "--top-p", 0.6, "--seed", 3]
    run(
        "continue",
        "in.wav",
        "out.wav",
        "--seconds",
        2.5,
        "--min-seconds",
        1.5,
        *options,
        model=folders["depth"],
    )
    more = ["--guidance", 4, "--best-of", 2, "--voice", "me.wav"]
    run("say", "hello", "out.wav", *options, *more, model=folders["depth"])
    went_on, said = given
    how = Sampling(temperature=0.5, top_k=7, top_p=0.6, seed=3)
    on = (Path("in.wav"), Path("out.wav"), 2.5, replace(how, min_seconds=1.5))
    assert (went_on[0], went_on[1], *went_on[4:]) == on
    how = replace(how, guidance=4.0, best_of=2)
    assert (said[0], said[1], *said[4:]) == ("hello", Path("out.wav"), Path("me.wav"), how)


@pytest.mark.parametrize("kind", KINDS)
def test_score(
    kind: str, folders: dict[str, Path], tokenizer: UnitTokenizer, sample: Path, run: Run
) -> None:
    """As many bits as one pass over everything finds; and nearly uniform, untrained."""
    found = json.loads(run("score", sample, "--json", model=folders[kind]))
    assert found["speech"]["seconds"] == pytest.approx(7.3, abs=0.1)
    num_codebooks = found["speech"]["bits_per_second_by_level"]
    assert len(num_codebooks) == 2
    assert sum(num_codebooks) == pytest.approx(found["speech"]["bits_per_second"])
    assert all(10 * 50 < bits < 12.5 * 50 for bits in num_codebooks)
    alone = json.loads(run("score", "--text", "hello", "--json", model=folders[kind]))
    assert list(alone) == ["text"]
    assert alone["text"]["pieces"] == len(" hello") + 1
    assert alone["text"]["bits"] > 0


def test_the_score_of_a_text_depends_on_the_recording(
    folders: dict[str, Path], tokenizer: UnitTokenizer, run: Run, tmp_path: Path
) -> None:
    """It is minus the log2 of the probability that the task ``asr`` gives the text."""
    random = np.random.default_rng(0)
    bits = []
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, random.normal(0, 0.1, RATE), RATE)
        printed = run("score", tmp_path / name, "--text", "hello", "--json", model=folders["depth"])
        transcript = json.loads(printed)["text_given_speech"]
        assert transcript["pieces"] == len(" hello") + 1
        bits.append(transcript["bits"])
    assert bits[0] != bits[1]
    model = LanguageModel.from_pretrained(folders["depth"])
    wave = soundfile.read(tmp_path / "b.wav", dtype="float32")[0]
    codes = tokenizer.encode(torch.from_numpy(wave)[None])[0].numpy()
    assert bits[1] == pytest.approx(model.text_bits("hello", codes))


def test_a_score_is_of_the_recordings_own_length(
    folders: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    """Its units last longer: whole frames, and the codec's delay."""
    soundfile.write(tmp_path / "short.wav", np.full(1, 0.1), RATE)
    found = json.loads(run("score", tmp_path / "short.wav", "--json", model=folders["depth"]))
    speech = found["speech"]
    assert speech["seconds"] == 1 / RATE
    assert speech["bits_per_second"] == pytest.approx(RATE * speech["bits"])
    assert sum(speech["bits_per_second_by_level"]) == pytest.approx(RATE * speech["bits"])


@pytest.mark.parametrize("kind", KINDS)
def test_score_in_windows(kind: str, folders: dict[str, Path]) -> None:
    """Frames beyond the context are each counted once, with at least half a context before them."""
    model = LanguageModel.from_pretrained(folders[kind])
    random = np.random.default_rng(0)
    codes = random.integers(1024, size=(2, 150))
    whole = model.score(codes)
    calls = []
    bits = model.bits

    def noted(piece: np.ndarray, known: int) -> np.ndarray:
        calls.append((piece.shape[1], known))
        return bits(piece, known)

    model.bits = noted  # type: ignore[method-assign, assignment]
    model.context = 120 * model.generator.stride
    parts = model.score(codes)
    assert sum(size - known for size, known in calls) == 150
    assert all(known >= 55 for _, known in calls[1:])
    assert parts.tokens == whole.tokens == 300
    assert sum(parts.bits) == pytest.approx(sum(whole.bits), rel=0.02)


def test_export(folders: dict[str, Path], run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    run("export", "hf", folder, "--model", folders["depth"])
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    assert Vocabulary.load(folder) == Vocabulary.load(folders["depth"])
    assert (folder / "tokenizer.model").read_bytes() == (folders["depth"] / TEXT_MODEL).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shrunk_model_is_nearly_the_same(
    kind: str, folders: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    run("shrink", folders[kind], tmp_path / "small")
    sizes = [
        (folder / hub.WEIGHTS).stat().st_size for folder in (folders[kind], tmp_path / "small")
    ]
    assert sizes[1] < 0.65 * sizes[0]
    whole, small = (LanguageModel.from_pretrained(f) for f in (folders[kind], tmp_path / "small"))
    codes = np.random.default_rng(0).integers(0, 1024, (2, 50))
    assert small.units == whole.units
    assert 0 < abs(small.score(codes).rate / whole.score(codes).rate - 1) < 0.01
    assert small.score_text("hello").rate == pytest.approx(whole.score_text("hello").rate, rel=0.01)


def test_sentences_are_synthesised_one_by_one(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the characters of the model's text; the second sentence waits until it is asked for."""
    model = LanguageModel.from_pretrained(folders["depth"])
    parts = []

    def note(text: str, frames: int, how: Sampling, voice: Any = None) -> Iterator[np.ndarray]:
        parts.append((text, voice is None))
        yield from np.zeros((3, 2), np.int64)

    monkeypatch.setattr(model, "synthesize", note)
    frames = pipelines.speech_frames("Hello, Dr. Lee! Good day. We do.", model, None, Sampling())
    next(frames)
    assert parts == [("Hello do or Lee", True)]  # training saw no c and no t
    assert len(list(frames)) == 8
    assert parts[1:] == [("Good day", False), ("We do", False)]


def test_text_parts() -> None:
    text = "One two. Three four five six seven! Eight, nine."
    assert pipelines.text_parts(text, 100) == [text]
    assert pipelines.text_parts(text, 20) == [
        "One two.",
        "Three four five six",
        "seven! Eight, nine.",
    ]
    assert pipelines.text_parts("  ", 20) == []


def test_quiet_cuts() -> None:
    wave = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    wave[3400:3600] *= 0.01
    pieces = list(pipelines.quiet_cuts([wave], 4000, 20))
    for size in (1, 700, 4000, 9000):
        waves = np.split(wave, range(size, len(wave), size))
        streamed = list(pipelines.quiet_cuts(waves, 4000, 20))
        assert all(np.array_equal(a, b) for a, b in zip(streamed, pieces, strict=True))
    assert np.array_equal(np.concatenate(pieces), wave)
    assert all(len(piece) <= 4000 for piece in pieces)
    assert 3400 <= len(pieces[0]) <= 3600


@pytest.mark.parametrize("seconds", [0.1, 3, 30])
def test_silence_has_no_words(
    seconds: float, folders: dict[str, Path], tokenizer: UnitTokenizer
) -> None:
    model = LanguageModel.from_pretrained(folders["depth"])
    hiss = np.random.default_rng(0).normal(size=round(seconds * RATE)).astype(np.float32)
    for wave in (np.zeros_like(hiss), np.full_like(hiss, 0.1), 3e-4 * hiss):
        assert pipelines.transcribe_waves([wave], model, tokenizer) == ""


def test_long_recordings(
    folders: dict[str, Path], tokenizer: UnitTokenizer, sample: Path, tmp_path: Path
) -> None:
    """Fourteen seconds, to a model of eight seconds of context."""
    wave = np.tile(soundfile.read(sample)[0], 2)
    soundfile.write(tmp_path / "long.wav", wave, RATE)
    model = LanguageModel.from_pretrained(folders["depth"])
    pipelines.transcribe(tmp_path / "long.wav", model, tokenizer)
    assert pipelines.score(tmp_path / "long.wav", model, tokenizer).tokens > 2 * 50 * 14
    out = tmp_path / "out.wav"
    pipelines.continue_recording(tmp_path / "long.wav", out, model, tokenizer, 0.5, Sampling())
    assert soundfile.info(out).frames > len(wave) - 640
    text = "hello world. good day. " * 2
    spoken = pipelines.synthesize(text, out, model, tokenizer, None, Sampling())
    assert spoken.seconds > 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["continue", "absent.wav", "out.wav", "MODEL"], "absent.wav"),
        (["continue", "good.wav", "out.mp4", "MODEL"], "out.mp4"),
        (["continue", "good.wav", "out.wav", "--seconds", 0, "MODEL"], "seconds"),
        (["continue", "good.wav", "out.wav", "--seconds", "inf", "MODEL"], "seconds"),
        (["continue", "good.wav", "out.wav", "--top-p", 2, "MODEL"], "top-p"),
        (["continue", "good.wav", "out.wav", "--temperature", "inf", "MODEL"], "temperature"),
        (["say", "hello", "out.wav", "--guidance", "inf", "MODEL"], "guidance"),
        (["continue", "short.wav", "out.wav", "MODEL"], "short.wav"),
        (["say", "", "out.wav", "MODEL"], "no text"),
        (["say", "\U0001f600", "out.wav", "MODEL"], "grinning face"),
        (["say", "Добрый день", "out.wav", "MODEL"], "no English text"),
        (["say", "hello", "out.wav", "--voice", "absent.wav", "MODEL"], "absent.wav"),
        (["transcribe", "text.wav", "MODEL"], "text.wav"),
        (["score", "MODEL"], "nothing to score"),
        (["score", "good.wav", "--text", "", "MODEL"], "no text"),
        (["score", "good.wav", "--text", "hello " * 100, "MODEL"], "exceed"),
        (["score", "good.wav", "--model", "codec-16k"], "vocabulary.json"),
    ],
)
def test_errors_are_one_line(
    arguments: list[object],
    named: str,
    folders: dict[str, Path],
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.wav").write_text("This is no sound.")
    soundfile.write("good.wav", np.zeros(RATE), RATE)
    soundfile.write("short.wav", np.zeros(20), RATE)
    before = sorted(path.name for path in tmp_path.iterdir())
    model = folders["depth"] if arguments[-1] == "MODEL" else None
    kept = [each for each in arguments if each != "MODEL"]
    lines = run(*kept, model=model, expect=2).strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert named in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_another_codec(folders: dict[str, Path]) -> None:
    model = LanguageModel.from_pretrained(folders["depth"])
    with pytest.raises(SpeechLMError, match="--units"):
        model.tokenizer()
