"""A run that is stopped anywhere and resumed is the run that was not stopped."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
import torch

from speechlm.data.corpus import read_cuts
from speechlm.errors import SpeechLMError
from speechlm.training.checkpoint import load_checkpoint, save_checkpoint
from speechlm.training.codec import CodecObjective

from .runs import CODECS, KEEP, MOMENTS, STEPS, assert_same_run, log, recipe, run, start


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """Folders of runs of each kind that nothing stopped."""
    runs: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in runs:
            runs[kind] = tmp_path_factory.mktemp(kind)
            run(recipe(corpus, runs[kind], kind))
        return runs[kind]

    return of


@pytest.mark.parametrize("kind", CODECS)
def test_the_same_recipe_gives_the_same_run(kind, whole, corpus, tmp_path):
    run(recipe(corpus, tmp_path, kind))
    assert_same_run(tmp_path, whole(kind))


@pytest.mark.parametrize("at", [2, KEEP, STEPS - 1])
@pytest.mark.parametrize("kind", CODECS)
def test_an_interrupted_run_goes_on(kind, at, whole, corpus, tmp_path, monkeypatch):
    real = CodecObjective.batch

    def batch(objective, step):
        if step == at:
            raise KeyboardInterrupt
        return real(objective, step)

    with monkeypatch.context() as patch:
        patch.setattr(CodecObjective, "batch", batch)
        saved = at // KEEP * KEEP
        with pytest.raises(SpeechLMError, match=f"interrupted; .* from step {saved}$"):
            run(recipe(corpus, tmp_path, kind))
    run(recipe(corpus, tmp_path, kind))
    assert_same_run(tmp_path, whole(kind))


def test_a_run_on_shards_goes_on(corpus, tmp_path, monkeypatch):
    """Of Lhotse Shar: no reader's state is kept, for there is none but the step."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "shar").mkdir()
    cuts = read_cuts([corpus], "train")
    cuts.to_shar(tmp_path / "shar", fields={"recording": "flac"}, shard_size=3)

    def go(out):
        made = recipe(corpus, tmp_path / out)
        made.data.shards = [str(tmp_path / "shar")]
        run(made)

    go("whole")
    real = CodecObjective.batch
    for at in (3, 7):

        def batch(objective, step, at=at):
            if step == at:
                raise KeyboardInterrupt
            return real(objective, step)

        with monkeypatch.context() as patch:
            patch.setattr(CodecObjective, "batch", batch)
            with pytest.raises(SpeechLMError, match="interrupted"):
                go("stopped")
    go("stopped")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.__name__)
def test_a_run_killed_at_this_moment_goes_on(moment, whole, corpus, tmp_path):
    process = start(recipe(corpus, tmp_path), moment)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    run(recipe(corpus, tmp_path))
    assert_same_run(tmp_path, whole("vectors"))
    # Nor is anything left of what was half written.
    assert not list(tmp_path.glob(".*"))


def test_a_run_killed_again_and_again_goes_on(whole, corpus, tmp_path):
    made = recipe(corpus, tmp_path, checkpoint_every=2)
    journal = tmp_path / "log.jsonl"
    codes = []
    for most in (0.0, 0.05, 0.1, 0.2):
        lines = journal.stat().st_size if journal.exists() else 0
        process = start(made)
        while process.is_alive() and (not journal.exists() or journal.stat().st_size <= lines):
            time.sleep(0.005)
        process.join(random.uniform(0, most))
        process.kill()
        process.join()
        codes.append(process.exitcode)
    run(made)
    # The first was killed at its first line; a later one may have come to its end.
    assert codes[0] == -signal.SIGKILL
    assert set(codes) <= {0, -signal.SIGKILL}
    assert_same_run(tmp_path, whole("vectors"))


def test_a_finished_run_is_left_as_it_is(whole, corpus):
    out = whole("vectors")
    before = [(path, path.stat().st_mtime_ns) for path in sorted(out.glob("*.pt"))]
    lines = log(out)
    assert run(recipe(corpus, out)) == out / "model"
    assert [(path, path.stat().st_mtime_ns) for path in sorted(out.glob("*.pt"))] == before
    assert log(out) == lines


def test_a_run_can_be_made_longer(whole, corpus, tmp_path):
    run(recipe(corpus, tmp_path))
    run(recipe(corpus, tmp_path, steps=STEPS + 3))
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == STEPS + 3
    steps = [line["step"] for line in log(tmp_path) if line["kind"] == "train"]
    assert steps == [2, 4, 6, 8, 10, 12, 13]


def test_never_starts_anew_and_forgets_the_old_run(whole, corpus, tmp_path, monkeypatch):
    run(recipe(corpus, tmp_path, steps=5))

    def interrupted(objective, step):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CodecObjective, "batch", interrupted)
        with pytest.raises(SpeechLMError, match=r"from step 0$"):
            run(recipe(corpus, tmp_path, resume="never"))
    run(recipe(corpus, tmp_path))
    assert_same_run(tmp_path, whole("vectors"))
    with pytest.raises(SpeechLMError, match="resume is 'auto' or 'never', not 'maybe'"):
        run(recipe(corpus, tmp_path, resume="maybe"))


def break_empty(path: Path) -> None:
    path.write_bytes(b"")


def break_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def break_text(path: Path) -> None:
    path.write_text("not a checkpoint\nat all\n")


def break_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [break_empty, break_cut, break_text, break_bit])
def test_a_damaged_checkpoint_is_one_line(harm, whole, corpus, tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes((whole("vectors") / "checkpoint.pt").read_bytes())
    harm(path)
    damaged = path.read_bytes()
    with pytest.raises(
        SpeechLMError, match=r"checkpoint\.pt: not a checkpoint of speechlm: "
    ) as no:
        run(recipe(corpus, tmp_path))
    assert "\n" not in str(no.value)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    "content", [[1, 2], {"step": 3}, {"step": 3, "objective": {}, "average": {}, "optimizers": []}]
)
def test_a_checkpoint_of_something_else_is_one_line(content, corpus, tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", content)
    with pytest.raises(SpeechLMError, match=r"from another recipe; give another training\.out"):
        run(recipe(corpus, tmp_path))


@pytest.mark.parametrize("other", ["scalars", "adversarial"])
def test_a_checkpoint_of_another_recipe_is_one_line(other, whole, corpus):
    with pytest.raises(SpeechLMError, match=r"from another recipe; give another training\.out"):
        run(recipe(corpus, whole(other), "vectors"))


def test_nothing_in_a_checkpoint_is_executed(corpus, tmp_path):
    torch.save({"step": pytest.fail}, tmp_path / "checkpoint.pt")
    with pytest.raises(SpeechLMError, match="not a checkpoint of speechlm"):
        run(recipe(corpus, tmp_path))
