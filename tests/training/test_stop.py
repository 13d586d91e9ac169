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

from .runs import STEPS, assert_same_run, log, recipe, run

ENDLESS = 100_000


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
    from speechlm.training import trainer

    real = trainer.Trainer._after_step

    def after_step(self, progress):
        real(self, progress)
        if self.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_after_step", after_step)
        with pytest.raises(SpeechLMError, match=r"from step 6$"):
            run(recipe(corpus, tmp_path / "stopped"))
    run(recipe(corpus, tmp_path / "stopped"))
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
