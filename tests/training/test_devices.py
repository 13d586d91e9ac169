"""Training on a GPU: what each objective computes there is what it computes on the CPU.

On a simulated device (:mod:`tests.device`), which has no gradients, and on a real one where there
is one (marker ``gpu``): whole runs with bfloat16 or compiled networks, and those that go on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from speechlm.training.objective import Objective
from tests.device import simulated_cuda

from .objectives import KINDS, Objectives


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
