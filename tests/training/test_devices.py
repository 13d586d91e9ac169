"""Training on a GPU: what each objective computes there is what it computes on the CPU.

On a simulated device (:mod:`tests.device`), which has no gradients, and on a real one where there
is one (marker ``gpu``): there also whole runs, in bfloat16 and compiled, which are stopped and go
on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from speechlm.training.checkpoint import load_checkpoint
from speechlm.training.objective import Objective
from speechlm.training.trainer import Trainer, train
from tests.device import simulated_cuda

from .objectives import KINDS, Objectives
from .runs import assert_same_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def objectives(tmp_path_factory: pytest.TempPathFactory) -> Objectives:
    return Objectives(tmp_path_factory.mktemp("objectives"))


@pytest.fixture(params=["simulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    if request.param == "cuda":
        yield torch.device("cuda", 0)
    else:
        with simulated_cuda() as simulated:
            yield simulated


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_those_of_the_cpu(
    kind: str, objectives: Objectives, device: torch.device
) -> None:
    """And metrics of validation, and samples, are on the CPU."""
    objective, moved = objectives(kind), objectives(kind).to(device)
    cpu = torch.device("cpu")
    objective.train()
    moved.train()
    for phase in objective.phases:
        torch.manual_seed(0)
        expected, _ = phase_loss(objective, phase, cpu)
        torch.manual_seed(0)
        found, logs = phase_loss(moved, phase, device)
        assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=0.02)
        assert all(value.device in (cpu, device) for value in logs.values())
    metrics = moved.eval().validate(moved.model)
    assert metrics == pytest.approx(objective.eval().validate(objective.model), rel=0.02, abs=1e-3)
    assert all(wave.device == cpu for wave, _ in moved.validation_samples(moved.model).values())


def phase_loss(
    objective: Objective, phase: str, device: torch.device
) -> tuple[Tensor, dict[str, Tensor]]:
    with torch.no_grad():
        batch = {name: value.to(device) for name, value in objective.batch(3).items()}
        [batch] = objective.micro_batches(batch, 1)
    loss, logs = objective(batch, phase, 3)
    assert loss.device == device
    return loss, logs


def test_a_step_does_not_depend_on_generators_before_it(
    objectives: Objectives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no state of theirs, on whatever device, belongs into a checkpoint."""
    real = Trainer._after_step

    def draws(trainer: Trainer, *args: object) -> None:
        torch.rand(trainer.step + 1)
        real(trainer, *args)  # type: ignore[arg-type]

    for name, after_step in (("plain", real), ("drawn", draws)):
        monkeypatch.setattr(Trainer, "_after_step", after_step)
        objective = objectives("lm", out=str(tmp_path / name))
        objective.recipe.lm.dropout = 0.2
        train(objective.recipe.training, objective)
    assert_same_run(tmp_path / "drawn", tmp_path / "plain")


WORKER = """
import sys
from pathlib import Path

import torch

from speechlm.errors import SpeechLMError
from speechlm.training.trainer import train
from tests.training.objectives import Objectives

folder, out, kind, precision, compiled = sys.argv[1:]
torch.use_deterministic_algorithms(True, warn_only=True)

def run(name, stop=None):
    how = {"out": f"{out}/{name}", "precision": precision, "compile": compiled == "True"}
    objectives = Objectives(Path(folder))
    objective = objectives(kind, **how)
    real = objective.batch

    def batch(step):
        if step == stop:
            raise KeyboardInterrupt
        return real(step)

    objective.batch = batch
    try:
        train(objectives.recipe(kind, **how)[1].training, objective)
    except SpeechLMError as error:
        if "interrupted" not in str(error):
            raise
    assert next(objective.model.parameters()).is_cuda

run("whole")
run("resumed", stop=4)
run("resumed")
"""


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("kind", "precision", "compiled"),
    [
        *((kind, "no", False) for kind in KINDS),
        *(
            (kind, "bf16", False)
            for kind in ("codec-vectors", "codec-adversarial", "vocoder", "lm")
        ),
        *((kind, "bf16", True) for kind in ("codec-vectors", "lm")),
    ],
)
def test_a_run_on_a_gpu_goes_on(
    kind: str, precision: str, compiled: bool, objectives: Objectives, tmp_path: Path
) -> None:
    """Stopped at its fourth step and resumed, as if it had not been; to rounding, for the sums of
    some kernels have no fixed order."""
    objectives(kind)  # makes the data, once
    environment = {name: value for name, value in os.environ.items() if "ACCELERATE" not in name}
    environment |= {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WORKER, *map(str, [objectives.folder, tmp_path, kind])]
    done = subprocess.run(
        [*command, precision, str(compiled)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = [load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "resumed")]
    assert runs[0]["step"] == runs[1]["step"] == 6
    for name, value in runs[0]["objective"].items():
        torch.testing.assert_close(runs[1]["objective"][name], value, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("kind", ["codec-vectors", "codec-adversarial", "vocoder", "lm"])
def test_bfloat16_is_near_float32(kind: str, objectives: Objectives) -> None:
    """The losses of a step, whose gradients are there and finite."""
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        objective = objectives(kind)
        objective.train()
        for phase in objective.phases:
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                loss, _ = phase_loss(objective, phase, torch.device("cpu"))
            loss.backward()
            grads = [p.grad for part in objective.trained(phase) for p in part.parameters()]
            assert all(grad.isfinite().all() for grad in grads if grad is not None)
            assert any(grad is not None and grad.any() for grad in grads)
            losses.append(float(loss.detach()))
    half = len(losses) // 2
    assert losses[half:] == pytest.approx(losses[:half], rel=0.02)
