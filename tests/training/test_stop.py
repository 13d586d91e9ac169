"""Signals, and two trainings in one folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import yaml

from speechlm.errors import SpeechLMError
from speechlm.training.checkpoint import load_checkpoint
from speechlm.training.run_lock import run_lock
from speechlm.training.stop_signals import REPEAT_SECONDS, SIGNALS
from speechlm.training.trainer import Trainer

from .runs import STEPS, assert_same_run, log, recipe, run
from .test_processes import launch

ENDLESS = 100_000


WORKER = """
import sys, threading
from pathlib import Path
import torch
torch.set_num_threads(1)
from speechlm.errors import Interrupted, SpeechLMError
from speechlm.training.codec import CodecObjective
from tests.training import runs

corpus, out, kind = sys.argv[1:]
made = runs.recipe(Path(corpus), Path(out), steps=100_000, checkpoint_every=100_000)
if kind == "stuck":
    def forward(*arguments):
        Path(out, "stuck").touch()
        threading.Event().wait()
    CodecObjective.forward = forward
try:
    runs.run(made)
except Interrupted as error:
    sys.exit(error.status)
except SpeechLMError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def start(made, folder):
    """The recipe in a process of its own, by the command line, with many steps."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(json.loads(json.dumps(asdict(made)))))
    command = [sys.executable, "-m", "speechlm", "train", str(path)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_steps(out):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (out / "log.jsonl").exists() and log(out):
            return
        time.sleep(0.05)
    raise AssertionError("no step in two minutes")


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_and_leaves_a_checkpoint(signum, status, corpus, tmp_path):
    out = tmp_path / "run"
    made = recipe(corpus, out, steps=ENDLESS, checkpoint_every=ENDLESS, validate_every=ENDLESS)
    process = start(made, tmp_path)
    wait_for_steps(out)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == status
    last = errors.splitlines()[-1]
    step = load_checkpoint(out / "checkpoint.pt")["step"]
    assert step >= log(out)[-1]["step"]
    assert last.endswith(f"interrupted; run the same command to continue from step {step}")
    assert "Traceback" not in errors


def test_a_run_that_a_signal_stopped_goes_on_as_if_it_had_not(corpus, tmp_path, monkeypatch):
    """Also between two lines of the log, whose means go on with what the checkpoint holds."""
    real = Trainer._after_step
    for at in (3, 6, 9):

        def after_step(self, progress, at=at):
            real(self, progress)
            if self.step == at:
                os.kill(os.getpid(), signal.SIGTERM)

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_after_step", after_step)
            with pytest.raises(SpeechLMError, match=f"from step {at}$"):
                run(recipe(corpus, tmp_path / "stopped"))
    run(recipe(corpus, tmp_path / "stopped"))
    assert not (tmp_path / "stopped" / "log.superseded.jsonl").exists()
    run(recipe(corpus, tmp_path / "whole"))
    assert log(tmp_path / "whole")[-1]["step"] == STEPS
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_a_second_training_in_a_folder_is_refused(corpus, tmp_path):
    with run_lock(tmp_path), pytest.raises(SpeechLMError, match="another training is running"):
        run(recipe(corpus, tmp_path))
    run(recipe(corpus, tmp_path))


def test_the_state_of_the_lowest_validation_loss_is_kept(corpus, tmp_path):
    run(recipe(corpus, tmp_path, validate_every=2))
    losses = {line["step"]: line["loss"] for line in log(tmp_path) if line["kind"] == "valid"}
    content = load_checkpoint(tmp_path / "checkpoint-best.pt")
    assert content["step"] == min(losses, key=losses.__getitem__)
    assert content["best_loss"] == pytest.approx(min(losses.values()), rel=1e-5)


def test_processes_agree_on_the_step_at_which_they_stop(corpus, tmp_path):
    """One of them gets the signal; none waits for another that has left, and all exit alike."""
    processes = launch(2, corpus, tmp_path, "", worker=WORKER)
    wait_for_steps(tmp_path)
    processes[1].send_signal(signal.SIGTERM)
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], errors
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] >= log(tmp_path)[-1]["step"]


def test_a_second_signal_ends_a_step_that_does_not_end(corpus, tmp_path):
    (process,) = launch(1, corpus, tmp_path, "stuck", worker=WORKER)
    deadline = time.monotonic() + 120
    while not (tmp_path / "stuck").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # so soon it is the same one, passed on by a launcher
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5 * REPEAT_SECONDS)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_killed_run_leaves_its_folder_to_the_next(corpus, tmp_path):
    (process,) = launch(1, corpus, tmp_path, "", worker=WORKER)
    wait_for_steps(tmp_path)
    says = rf"another training is running in this folder \(process {process.pid}\)"
    with pytest.raises(SpeechLMError, match=says) as no:
        run(recipe(corpus, tmp_path))
    assert "\n" not in str(no.value)
    process.kill()
    process.communicate()
    with run_lock(tmp_path):
        pass


def test_several_processes_share_a_folder_and_refuse_others(corpus, tmp_path):
    processes = launch(2, corpus, tmp_path, "", worker=WORKER)
    wait_for_steps(tmp_path)
    for other in launch(2, corpus, tmp_path, "", worker=WORKER):
        _, errors = other.communicate(timeout=120)
        assert other.returncode == 2
        assert "another training is running in this folder" in errors.splitlines()[-1]
    assert [process.poll() for process in processes] == [None, None]
    for process in processes:
        process.kill()
        process.communicate()


def test_handlers_are_afterwards_as_before(corpus, tmp_path):
    before = [signal.getsignal(one) for one in SIGNALS]
    run(recipe(corpus, tmp_path, steps=2))
    assert [signal.getsignal(one) for one in SIGNALS] == before
