"""N processes on a batch are one process on it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from speechlm.errors import SpeechLMError
from speechlm.utils.distributed import Shard

from .runs import log, recipe, run

WORKER = """
import sys
import torch
from pathlib import Path
torch.set_num_threads(1)
from tests.training import runs
from speechlm.errors import SpeechLMError
from speechlm.training import codec, trainer

corpus, out, kind, steps, stop = sys.argv[1:]
made = runs.recipe(Path(corpus), Path(out), kind, steps=int(steps), checkpoint_every=2, log_every=1)
made.data.batch = 4
objective = codec.CodecObjective(made)
real = objective.batch

def batch(step):
    if step == int(stop):
        raise KeyboardInterrupt
    return real(step)

objective.batch = batch
try:
    trainer.train(made.training, objective)
except SpeechLMError as error:
    if "interrupted" not in str(error):
        sys.exit(f"error: {error}")
torch.save(objective.model.state_dict(), f"{out}/rank{objective.shard.index}.pt")
"""


def launch(
    processes: int, *arguments: object, worker: str = WORKER, **environment: str
) -> list[subprocess.Popen[str]]:
    """So many processes of the worker, which find each other as those of ``accelerate launch``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    common |= environment
    root = Path(__file__).parents[2]
    started = []
    for rank in range(processes):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", worker, *map(str, arguments)],
                cwd=root,
                env={**os.environ, **common, **own, "PYTHONPATH": str(root)},
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
        )
    return started


def finish(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


def losses(out: Path) -> torch.Tensor:
    return torch.tensor([line["model/loss"] for line in log(out) if line["kind"] == "train"])


def assert_same_curve(curve: torch.Tensor, expected: torch.Tensor) -> None:
    """To rounding; later on, a code near a tie may have gone the other way by it."""
    assert len(expected) == len(curve) == 8
    torch.testing.assert_close(curve[:4], expected[:4], atol=0, rtol=1e-4)
    torch.testing.assert_close(curve, expected, atol=0, rtol=0.05)


def assert_ranks_agree(out: Path, processes: int) -> None:
    """All hold the same weights and codebooks, to the bit."""
    ranks = [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(processes)]
    for other in ranks[1:]:
        for name, value in ranks[0].items():
            assert torch.equal(other[name], value), name


@pytest.mark.parametrize("kind", ["vectors", "scalars", "adversarial"])
def test_two_processes_share_a_batch(kind, corpus, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    made = recipe(corpus, one, kind, steps=8, log_every=1)
    made.data.batch = 4
    run(made)
    finish(launch(2, corpus, many, kind, 8, 8))
    assert_same_curve(losses(many), losses(one))
    assert_ranks_agree(many, 2)


def test_a_run_goes_on_with_another_number_of_processes(corpus, tmp_path):
    one, many = tmp_path / "one", tmp_path / "many"
    made = recipe(corpus, one, steps=8, log_every=1)
    made.data.batch = 4
    run(made)
    for processes, stop in ((2, 4), (1, 6), (4, 8)):
        finish(launch(processes, corpus, many, "vectors", 8, stop))
    assert_same_curve(losses(many), losses(one))
    assert_ranks_agree(many, 4)


def test_a_killed_process_ends_the_run_and_the_run_goes_on(corpus, tmp_path):
    processes = launch(2, corpus, tmp_path, "vectors", 100_000, 100_000)
    deadline = time.monotonic() + 90
    while not (tmp_path / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGKILL)
    _, errors = processes[0].communicate(timeout=60)
    processes[1].communicate()
    assert processes[0].returncode == 1
    assert "error: another process of this run ended; run the same command" in errors
    reached = max(json.loads(x)["step"] for x in (tmp_path / "log.jsonl").read_text().splitlines())
    finish(launch(2, corpus, tmp_path, "vectors", 100_000, reached + 2))


def test_a_batch_that_cannot_be_shared_is_one_line():
    assert Shard(1, 3).rows(6) == slice(2, 4)
    with pytest.raises(SpeechLMError, match="4 rows of a batch cannot be split evenly into 3"):
        Shard(0, 3).rows(4)
