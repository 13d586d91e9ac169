"""Training whose weights lie in parts over the processes: PyTorch's FSDP, by accelerate.

``accelerate launch --config_file recipes/accelerate/fsdp.yaml`` turns it on. Each process then
keeps its part of every weight, of its gradient, its moving average and the optimizer's state.
Checkpoints hold whole tensors: a run goes on with any number of processes, with FSDP or without.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from speechlm.errors import SpeechLMError
from speechlm.training.objective import Objective


def check(accelerator: Accelerator, objective: Objective, compiles: bool) -> None:
    """See that what ``accelerate launch`` was asked for is what happens.

    Raises:
        SpeechLMError: for another version of FSDP, a device that accelerate does not shard on, or
            an objective that cannot be sharded, or one whose networks are compiled.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return
    if accelerator.num_processes > 1 and not accelerator.is_fsdp2:
        raise SpeechLMError(
            "FSDP: asked for, but accelerate shards on several GPUs only, and here with "
            "fsdp_version: 2, as in recipes/accelerate/fsdp.yaml"
        )
    if compiles:
        raise SpeechLMError("FSDP: not beside training.compile; leave one of them out")
    if not objective.supports_fsdp:
        raise SpeechLMError(
            "FSDP: for language models; launch this recipe without: accelerate launch --multi_gpu"
        )


def part_of(whole: Tensor, weight: Tensor) -> Tensor:
    """What this process keeps of ``whole``, as it does of ``weight``; all of what is no shard."""
    if not isinstance(weight, DTensor) or whole.shape != weight.shape:
        return whole
    # Every process has the whole: nothing needs to be sent.
    place = weight.device_mesh, weight.placements
    return distribute_tensor(whole.to(weight.device), *place, src_data_rank=None)


def whole(x: Tensor) -> Tensor:
    """All of a tensor that may be sharded; for all processes together to call."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def whole_state(content: Any) -> Any:
    """Nested containers with whole tensors, in main memory, for sharded ones; as :func:`whole`."""
    if isinstance(content, dict):
        return {name: whole_state(value) for name, value in content.items()}
    if isinstance(content, list):
        return [whole_state(value) for value in content]
    return whole(content).cpu() if isinstance(content, DTensor) else content


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a whole state into an optimizer of weights that may be sharded."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    parts = {
        index: {
            name: part_of(value, weights[index]) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        for index, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": parts})


def finite(weights: list[Tensor]) -> Tensor:
    """Whether what this process keeps of the weights is all finite."""
    local = [each.to_local() if isinstance(each, DTensor) else each for each in weights]
    return torch.stack([torch.isfinite(each).all() for each in local]).all()
