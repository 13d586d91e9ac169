"""Suites: rows and means are right, nothing is done twice, and an interrupted one goes on."""

from __future__ import annotations

import importlib.util
import json
import math
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from speechlm.config import load_yaml
from speechlm.errors import SpeechLMError
from speechlm.evaluation import pool, runtime, worker
from speechlm.evaluation.config import SuiteConfig, fill
from speechlm.evaluation.metrics import named
from speechlm.evaluation.recognition import Listener
from speechlm.evaluation.results import Results
from speechlm.evaluation.setup import prepare
from speechlm.evaluation.suites import KINDS, run_share
from speechlm.evaluation.systems import Spec, specs
from speechlm.report import suites
from speechlm.utils.distributed import Shard

from .voices import RATE


@pytest.fixture
def counted(monkeypatch):
    """The tasks that are really performed."""
    done = []

    def perform(task):
        done.append(task)
        return worker.perform(task)

    monkeypatch.setattr(pool, "perform", perform)
    return done


def test_a_suite_from_declaration_to_means(suite_file, tmp_path):
    results = suites.run(suite_file, [], tmp_path / "out")
    assert results.systems == ["original", "opus 12", "opus 6"]
    assert Results.load(tmp_path / "out" / "results.json").data == results.data
    facts = results.data["systems"]
    assert facts["absent 4"]["absent"] == "program 'no-such-codec' is not found"
    for system in results.systems:
        rows = results.data["rows"][system]
        assert len(rows) == 3
        values = [row["cells"]["stoi"]["value"] for row in rows]
        summary = results.data["summary"][system]["stoi"]
        assert summary["mean"] == pytest.approx(np.mean(values))
        assert summary["low"] <= summary["mean"] <= summary["high"]
        assert (summary["n"], summary["failed"]) == (3, 0)
        bits = sum(row["payload_bits"] for row in rows)
        seconds = sum(clip["seconds"] for clip in results.data["clips"])
        rate = results.data["summary"][system]["kbps"]["mean"]
        assert rate == pytest.approx(bits / seconds / 1000, rel=1e-5)
    means = [results.mean(system, "stoi").mean for system in results.systems]
    assert means[0] == pytest.approx(1)
    assert means[0] > means[1] > means[2]
    assert results.difference("opus 6", "opus 12", "stoi").mean == pytest.approx(
        means[2] - means[1]
    )


def test_nothing_is_done_twice(suite_file, tmp_path, counted):
    first = suites.run(suite_file, [], tmp_path / "a")
    assert len(counted) == 9
    second = suites.run(suite_file, [], tmp_path / "b")
    assert len(counted) == 9
    assert second.data["rows"] == first.data["rows"]
    suites.run(suite_file, ["metrics=[stoi,mel,lsd]"], tmp_path / "c")
    assert len(counted) == 18
    assert {task.metrics for task in counted[9:]} == {("lsd",)}
    assert all(task.coded for task in counted[9:])
    suites.run(suite_file, ["systems.opus.kbps=[6,9]"], tmp_path / "d")
    assert [task.spec.kbps for task in counted[18:]] == [9, 9, 9]


def test_an_interrupted_suite_goes_on_where_it_stopped(suite_file, tmp_path, counted, monkeypatch):
    perform = pool.perform

    def stop_at_the_fifth(task):
        if len(counted) == 4:
            raise KeyboardInterrupt
        return perform(task)

    monkeypatch.setattr(pool, "perform", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        suites.run(suite_file, [], tmp_path / "out")
    assert not (tmp_path / "out" / "results.json").exists()
    monkeypatch.setattr(pool, "perform", perform)
    suites.run(suite_file, [], tmp_path / "out")
    assert len(counted) == 9  # four, then the five that were left


def test_jobs_share_what_they_judged(suite_file, tmp_path, counted):
    whole = suites.run(suite_file, [f"cache={tmp_path / 'one'}"], tmp_path / "one")
    counted.clear()
    overrides = ["metrics=[stoi]"]
    suites.run(suite_file, [*overrides, "systems.opus=null"], tmp_path / "before")
    assert len(counted) == 3
    assert run_share(suite_file, overrides, Shard.of_job("1/2")) == 2
    # What was known before is not done again, nor what the job did before it was killed.
    assert len(counted) == 3 + 4
    assert run_share(suite_file, overrides, Shard.of_job("1/2")) == 2
    assert run_share(suite_file, overrides, Shard.of_job("2/2")) == 1
    assert len(counted) == 3 + 4 + 2
    shared = suites.run(suite_file, overrides, tmp_path / "shared")
    assert len(counted) == 9
    for system, rows in whole.data["rows"].items():
        for row, expected in zip(shared.data["rows"][system], rows, strict=True):
            assert row["cells"]["stoi"] == expected["cells"]["stoi"]
            assert row["file_bytes"] == expected["file_bytes"]


def test_other_suites_are_not_judged_in_jobs(tmp_path):
    (tmp_path / "lm.yaml").write_text("kind: lm\n")
    with pytest.raises(SpeechLMError, match="suites of codecs are judged in jobs; this is none"):
        run_share(tmp_path / "lm.yaml", [], Shard.of_job("1/2"))


def test_changed_audio_is_judged_anew(suite_file, tmp_path, counted):
    folder = tmp_path / "mine"
    folder.mkdir()
    wave = np.sin(np.arange(RATE * 2) / 10) * np.linspace(0, 0.5, RATE * 2)
    for peak in (1.0, 0.5):
        soundfile.write(folder / "a.wav", peak * wave, RATE)
        from speechlm.evaluation import clips

        clips._digest.cache_clear()
        clips._recording.cache_clear()
        suites.run(suite_file, [f"clips.sources=[{folder}]"], tmp_path / "out")
    assert len(counted) == 6


FAILS_ON_LONG = (
    "import sys, soundfile as s; w, r = s.read(sys.argv[1]); "
    "sys.exit('too long') if len(w) > 25000 else s.write(sys.argv[2], w, r)"
)


def test_a_failed_row_is_nan_counted_and_tried_again(suite_file, tmp_path, counted):
    encode = f"{sys.executable} -c {shlex.quote(FAILS_ON_LONG)} {{in}} {{out}}"
    picky = {"kind": "command", "suffix": ".wav", "encode": encode, "decode": "cp {in} {out}"}
    only(suite_file, {"original": {"kind": "original"}, "picky": picky})
    results = suites.run(suite_file, [], tmp_path / "out")
    found = results.data["summary"]["picky"]["stoi"]
    assert (found["n"], found["failed"]) == (2, 1)
    (reason,) = found["reasons"]
    assert "too long" in reason
    assert results.data["rows"]["picky"][2]["cells"]["kbps"]["value"] is None
    assert "too long" in (tmp_path / "out" / "report.html").read_text("utf-8")
    json.loads((tmp_path / "out" / "results.json").read_text("utf-8"), parse_constant=pytest.fail)
    suites.run(suite_file, [], tmp_path / "out")
    assert [task.spec.family for task in counted[6:]] == ["picky"]


def only(suite_file: Path, systems: dict) -> None:
    """Leave these systems in the suite."""
    declared = yaml.safe_load(suite_file.read_text("utf-8"))
    suite_file.write_text(yaml.safe_dump(declared | {"systems": systems}), "utf-8")


def test_codebook_use_is_over_the_whole_set(suite_file, tmp_path, model):
    only(suite_file, {"tiny": {"kind": "model", "model": str(model), "kbps": [0.4]}})
    results = suites.run(suite_file, ["metrics=[mel]"], tmp_path / "out")
    num_codebooks = results.data["systems"]["tiny 0.4"]["codebooks"]
    assert len(num_codebooks) == 2
    for level in num_codebooks:
        assert level["entries"] == 16
        assert level["frames"] == sum(
            math.ceil((clip["seconds"] * RATE + 320) / 320) for clip in results.data["clips"]
        )
        assert 1 <= level["perplexity"] <= level["used"] <= 16


def test_speed_is_measured_in_a_process_of_its_own(suite_file, model):
    tiny = {"kind": "model", "model": str(model), "kbps": [0.4]}
    only(suite_file, {"opus": {"kind": "opus", "kbps": [6]}, "tiny": tiny})
    declared = load_yaml(suite_file, ["runtime.repeats=2", "runtime.clips=1"])
    plan = prepare(fill(declared, suite_file))
    opus, tiny = runtime.measure(plan).values()
    for found in (opus, tiny):
        assert found["threads"] == 1
        for way in ("encode_rtf", "decode_rtf"):
            assert 0 < found[way]["low"] <= found[way]["median"] <= found[way]["high"]
            assert found[way]["n"] == 2
    assert tiny["streaming"]["codes"] == 0
    assert tiny["streaming"]["wave"] < 1e-4
    assert "streaming" not in opus


def test_worker_processes_give_what_this_process_gives(suite_file, tmp_path):
    here = suites.run(suite_file, [], tmp_path / "here")
    other = f"cache={tmp_path / 'other'}"
    there = suites.run(suite_file, ["workers=2", other], tmp_path / "there")
    assert there.data["rows"] == here.data["rows"]


def test_a_worker_that_dies_is_reported(monkeypatch, clips):
    task = object.__new__(worker.RowTask)
    object.__setattr__(task, "spec", Spec("opus", "opus", 6, RATE))
    object.__setattr__(task, "clip", type("Clip", (), {"id": "c"}))
    with pytest.raises(
        SpeechLMError, match=r"worker process died .* opus 6 on c; what was finished"
    ):
        list(pool.run([_Deadly(task)], 1))


PARENT = """
import os, signal
from speechlm.evaluation import pool
if __name__ == "__main__":
    with pool.processes(1) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT, "utf-8")
    # A worker that lives on holds the pipe open, and the call would wait until the timeout.
    done = subprocess.run(
        [sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout) > 0  # a worker had started


class _Deadly:
    """A task whose unpickling kills the worker, as a crash in native code does."""

    def __init__(self, task):
        self.spec, self.clip = task.spec, task.clip

    def __reduce__(self):
        import os

        return os._exit, (1,)


NONE = ["systems.original=null", "systems.opus=null", "systems.absent=null"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["metrics=[pesk]"], "metric 'pesk' is unknown"),
        (["metrix=[stoi]"], "unknown key metrix"),
        (["clips.limit=many"], "many"),
        (["systems.a={kind: opus}"], "systems.a: needs kbps"),
        (NONE, "no system to judge"),
        ([*NONE, "systems.a={kind: model, model: nil, kbps: [3]}"], "no system .* a 3: nil: not a"),
        (["clips.sources=[nowhere]"], "no recordings at nowhere"),
        (["page.audio=wma"], "page.audio=wma is none of auto, flac"),
    ],
)
def test_mistakes_in_a_suite_are_one_line(suite_file, tmp_path, changes, reason):
    with pytest.raises(SpeechLMError, match=reason) as refused:
        suites.run(suite_file, changes, tmp_path / "out")
    assert "\n" not in str(refused.value)


def test_a_suite_that_is_not_there(tmp_path: Path):
    with pytest.raises(SpeechLMError, match=r"none\.yaml: no such file"):
        suites.run(tmp_path / "none.yaml", [], tmp_path)
    (tmp_path / "broken.yaml").write_text("title: [")
    with pytest.raises(SpeechLMError, match=r"broken\.yaml"):
        suites.run(tmp_path / "broken.yaml", [], tmp_path)


SUITES = Path(__file__).parents[2] / "eval"


PROBED = {"probe.yaml", "layers.yaml"}  # speechlm probe's
JUDGED = sorted({path.name for path in SUITES.glob("*.yaml")} - PROBED)


@pytest.mark.parametrize("name", JUDGED)
def test_every_shipped_suite_is_a_valid_declaration(name):
    declared = load_yaml(SUITES / name, [])
    config = KINDS[declared.get("kind", "codec")][0](declared, SUITES / name)
    if isinstance(config, SuiteConfig):
        named(config.metrics)
        for family, system in config.systems.items():
            assert system is not None
            assert specs(family, system, config.sample_rate)
    for who, recogniser in config.recognisers.items():
        assert recogniser is not None
        Listener.of(who, recogniser)
    assert f"`{name}`" in (SUITES / "README.md").read_text("utf-8")


def test_the_smoke_suite_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(SUITES.parent)
    changes = ["workers=0", "runtime.repeats=0", f"cache={tmp_path / 'cache'}"]
    results = suites.run(SUITES / "smoke.yaml", changes, tmp_path / "out")
    assert results.mean("opus 12", "stoi").mean > results.mean("opus 6", "stoi").mean > 0.85
    heard = results.data["rows"]["original"][0]
    if importlib.util.find_spec("faster_whisper") and importlib.util.find_spec(
        "whisper_normalizer"
    ):
        assert heard["cells"]["wer:tiny-en"]["value"] < 20
    else:
        assert "speechlm[asr]" in heard["cells"]["wer:tiny-en"]["reason"]
    assert (tmp_path / "out" / "report.html").stat().st_size > 100_000
