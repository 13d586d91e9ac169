"""Corpora in shards: jobs that know nothing of each other, and Lhotse's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lhotse import CutSet, Recording
from lhotse.cut import Cut
from typer.testing import CliRunner

from speechlm import cli
from speechlm.data import speech
from speechlm.data import tokenize as module
from speechlm.data.corpus import read_cuts
from speechlm.data.shar import Shar
from speechlm.data.tokenize import tokenize, tokenize_share
from speechlm.data.tokens import Tokens, claim, index_path
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.load import load
from speechlm.utils.distributed import Shard
from tests.data.trees import text_file, tone, wave_file
from tests.lm.corpora import units, write_shard

from .test_tokens import content

FOLDER = Path(__file__).parents[2] / "data" / "folder.yaml"
SECONDS = (0.5, 0.31, 0.72, 1.0, 0.4, 0.33, 0.6)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    random = np.random.default_rng(0)
    for number, seconds in enumerate(SECONDS):
        noise = 0.05 * random.standard_normal(round(seconds * 16000))
        wave_file(folder / f"{number}.wav", tone(seconds) + noise.astype(np.float32))
        text_file(folder / f"{number}.txt", f"This is {number}")
    return folder


@pytest.fixture(scope="module")
def shar(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same recordings in three shards."""
    from speechlm.data.prepare import prepare

    folder = tmp_path_factory.mktemp("corpora")
    settings = ["split.by=utterance", "split.dev=0", "split.test=0", "language=en"]
    prepare(FOLDER, [f"path={recordings}", f"output={folder / 'mine'}", "name=mine", *settings])
    cuts = read_cuts([folder / "mine"], "train")
    out = folder / "shar"
    out.mkdir()
    cuts.to_shar(out, fields={"recording": "flac"}, shard_size=3)
    return out


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 2)


def test_jobs_together_make_what_one_makes(
    recordings: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    tokenize(recordings, one, str(tiny_model), num_codebooks=2)

    def job(number: int) -> list[int]:
        return tokenize_share(recordings, many, Shard.of_job(f"{number}/3"), str(tiny_model), 2)

    assert job(3) == [0, 1, 3]
    with pytest.raises(SpeechLMError, match=r"not finished, 00000\.jsonl is missing"):
        Tokens(many)
    # Killed within its second shard: the first one stays.
    real = module.shard_file

    def killed(*arguments: Any) -> Any:
        if arguments[1] == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "shard_file", killed)
        with pytest.raises(KeyboardInterrupt):
            job(1)
    assert job(2) == [3]
    assert job(2) == [3]
    written: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, "shard_file", lambda *a: (written.append(a[1]), real(*a))[1])
        assert job(1) == []
    assert written == [3]
    assert Tokens(many).dropped == {}
    assert content(many) == content(one)


def test_the_verb_does_a_share(recordings: Path, tiny_model: Path, tmp_path: Path) -> None:
    def run(*more: str) -> str:
        usual = ["tokenize", str(recordings), str(tmp_path / "out"), "--model", str(tiny_model)]
        done = CliRunner().invoke(cli.app, [*usual, "--num-codebooks", "1", *more])
        assert done.exit_code == 0, done.output
        return re.sub(r"\s+", " ", done.output)

    assert "2 shards remain for other jobs" in run("--shard", "1/2")
    assert "train │ 7" in run("--shard", "2/2")
    assert "train │ 7" in run()


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_share_is_one_line(text: str) -> None:
    with pytest.raises(SpeechLMError, match="--shard is I/N with I from 1 to N, as 3/8, not"):
        Shard.of_job(text)


def test_large_corpora_have_large_shards(
    recordings: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARDS", 2)
    tokens = tokenize(recordings, tmp_path, str(tiny_model), num_codebooks=1)
    assert [entry.shard for entry in tokens.entries] == [0, 0, 0, 0, 1, 1, 1]


def test_shar_gives_the_same_units(
    recordings: Path,
    shar: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By shards of its own, from a folder or from a list; jobs read only their shards."""
    plain = tokenize(recordings, tmp_path / "plain", str(tiny_model), num_codebooks=2)
    expected = {entry.id: (entry.text, plain.codes(entry).tolist()) for entry in plain.entries}
    listed = tmp_path / "lists" / "train.json"
    monkeypatch.setenv("SPEECHLM_ALLOW_COMMANDS", "1")
    text_file(listed, json.dumps({
        "cuts": [f"pipe:gunzip -c {path}" for path in sorted(map(str, shar.glob("cuts.*")))],
        "recording": [f"pipe:cat {path}" for path in sorted(map(str, shar.glob("recording.*")))],
    }))  # fmt: skip
    for name, source in (("shar", shar), ("list", listed)):
        out = tmp_path / name
        assert tokenize_share(source, out, Shard(1, 2), str(tiny_model), 2) == [0, 2]
        tokens = tokenize(source, out, str(tiny_model), 2)
        found = {entry.id: (entry.text, tokens.codes(entry).tolist()) for entry in tokens.entries}
        assert found == expected
        assert [entry.shard for entry in tokens.entries] == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("rate", [16000, 24000])
def test_a_long_recording_is_read_in_pieces(
    rate: int, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the units of it as a whole, from the middle of a file too."""
    random = np.random.default_rng(0)
    wave = 0.1 * random.standard_normal(round(5.37 * rate)).astype(np.float32)
    wave_file(tmp_path / "a.wav", wave, rate)
    cut = Recording.from_file(tmp_path / "a.wav").to_cut()
    CutSet.from_cuts([cut, cut.truncate(offset=0.77).with_id("b")]).to_file(tmp_path / "cuts.jsonl")
    whole = tokenize(tmp_path / "cuts.jsonl", tmp_path / "whole", str(tiny_model))
    monkeypatch.setattr(speech, "LONG", 4.9)
    monkeypatch.setattr(speech, "PIECE", 2)
    read: list[float] = []
    real = speech._wave
    monkeypatch.setattr(
        speech, "_wave", lambda cut, n: (read.append(cut.duration), real(cut, n))[1]
    )
    pieces = tokenize(tmp_path / "cuts.jsonl", tmp_path / "pieces", str(tiny_model))
    assert read == pytest.approx([2, 2, 1.37, 4.6])
    assert content(tmp_path / "pieces") == content(tmp_path / "whole")
    assert [entry.frames for entry in pieces.entries] == [270, 231]
    assert len(whole.entries) == 2


def test_a_long_recording_takes_constant_memory(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech, "LONG", 4.9)
    monkeypatch.setattr(speech, "PIECE", 2)
    tokenizer = load(str(tiny_model), 1)
    peaks = []
    for seconds in (20, 20, 80):  # the first loads what is loaded once
        path = wave_file(tmp_path / f"{seconds}.wav", tone(seconds))
        (found,) = [speech._of_cut(Recording.from_file(path).to_cut(), "train")]
        tracemalloc.start()
        frames = sum(codes.shape[1] for codes in module._encoded(tokenizer, found))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert frames >= 50 * seconds
    # A minute more of samples would be 3.8 MB.
    assert peaks[2] - peaks[1] < 200_000


def test_what_is_damaged_in_its_midst_is_taken_back(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pieces before the damage are not in the shard, and what follows is where it says."""
    for name in "abc":
        wave_file(tmp_path / f"{name}.wav", tone(5.3 if name == "b" else 0.8))
    cuts = [Recording.from_file(tmp_path / f"{name}.wav").to_cut() for name in "abc"]
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl")
    CutSet.from_cuts(cuts[::2]).to_file(tmp_path / "rest.jsonl")
    monkeypatch.setattr(module, "SHARD", 3)
    monkeypatch.setattr(speech, "LONG", 4.9)
    monkeypatch.setattr(speech, "PIECE", 2)
    real = speech._wave

    def damaged(cut: Cut, name: str) -> np.ndarray:
        if cut.start > 3:
            raise SpeechLMError(f"{name}: is damaged")
        return real(cut, name)

    monkeypatch.setattr(speech, "_wave", damaged)
    made = tokenize(tmp_path / "cuts.jsonl", tmp_path / "made", str(tiny_model))
    rest = tokenize(tmp_path / "rest.jsonl", tmp_path / "rest", str(tiny_model))
    assert list(made.dropped) == ["b"]
    assert [entry.id for entry in made.entries] == ["a", "c"]
    assert (tmp_path / "made/00000.npy").read_bytes() == (tmp_path / "rest/00000.npy").read_bytes()
    for one, other in zip(made.entries, rest.entries, strict=True):
        np.testing.assert_array_equal(made.codes(one), rest.codes(other))


def test_damaged_shar_is_one_line(shar: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shar"
    folder.mkdir()
    for path in shar.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "recording.000001.tar").write_bytes(b"no tar")
    with pytest.raises(SpeechLMError, match=r"cuts\.000001\.jsonl\.gz: cannot be read as a shard"):
        tokenize(folder, tmp_path / "out", str(tiny_model))
    (folder / "recording.000001.tar").unlink()
    with pytest.raises(SpeechLMError, match="3 shards of cuts and 2 of recordings"):
        tokenize(folder, tmp_path / "out", str(tiny_model))
    text_file(tmp_path / "list.json", "[]")
    with pytest.raises(SpeechLMError, match=r"list\.json: lists no shards"):
        Shar.find(tmp_path / "list.json")
    assert Shar.find(tmp_path / "out") is None


OPEN = """
import resource, sys, time
from speechlm.data.tokens import Tokens
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
tokens = Tokens(sys.argv[1])
entry = tokens.entries[len(tokens.entries) // 2]
tokens.codes(entry).sum()
print(len(tokens.entries), entry.id, time.perf_counter() - start)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def simulated(folder: Path, utterances: int, shards: int) -> None:
    made = units(num_codebooks=1)
    claim(folder, made, "made up", shards)
    each = utterances // shards
    for shard in range(shards):
        lines = [
            {"id": f"u{shard * each + k}", "split": "train", "first": k, "frames": 1, "text": "one"}
            for k in range(each)
        ]
        write_shard(folder, shard, [np.zeros((1, each), int)], lines, 1)
    Tokens(folder)


def test_a_corpus_opens_in_constant_memory(tmp_path: Path) -> None:
    grown = []
    for utterances in (1000, 40_000):
        folder = tmp_path / str(utterances)
        folder.mkdir()
        simulated(folder, utterances, 4)
        done = subprocess.run(
            [sys.executable, "-c", OPEN, str(folder)], capture_output=True, check=True, text=True
        )
        (count, name, _), (kilobytes,) = (line.split() for line in done.stdout.splitlines())
        assert (int(count), name) == (utterances, f"u{utterances // 2}")
        grown.append(int(kilobytes))
    # Forty times as many: a list of them would take some 20 MB more.
    assert grown[1] - grown[0] < 2000


def test_an_index_follows_its_shards(tmp_path: Path) -> None:
    simulated(tmp_path, 8, 4)
    before = content(tmp_path)
    tokens = Tokens(tmp_path)
    assert [entry.id for entry in tokens.entries] == [f"u{k}" for k in range(8)]
    assert [entry.id for entry in tokens.entries[2:4]] == ["u2", "u3"]
    assert tokens.entries[-1].id == "u7"
    assert content(tmp_path) == before
    index_path(tmp_path, 1).write_text('{"id": "x", "dropped": "it is broken"}\n')
    tokens = Tokens(tmp_path)
    assert [entry.id for entry in tokens.entries] == ["u0", "u1", "u4", "u5", "u6", "u7"]
    assert tokens.dropped == {"x": "it is broken"}
    assert tokens.entries.totals() == {"train": (6, 6)}
    with pytest.raises(SpeechLMError, match=r"00001\.npy: .* as its index says"):
        tokens._shard(1)


def test_the_job_array_does_every_share(tmp_path: Path) -> None:
    """``recipes/slurm``, with something that prints in place of ``speechlm``."""
    fake = tmp_path / "speechlm"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    for verb in ("tokenize", "eval"):
        script = FOLDER.parents[1] / "recipes" / "slurm" / f"{verb}.sbatch"
        (first, last) = re.findall(r"--array=(\d+)-(\d+)", script.read_text())[0]
        environment = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": last}
        done = subprocess.run(
            ["bash", script, "A", "B"], capture_output=True, check=True, text=True,
            env=environment | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        )  # fmt: skip
        assert first == "1"
        assert done.stdout == f"{verb} A B --shard 3/{last}\n"
        Shard.of_job(f"{last}/{last}")
