"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.optim import Optimizer

from speechlm.errors import SpeechLMError
from speechlm.training import fsdp
from speechlm.training.checkpoint import load_checkpoint, save_checkpoint
from speechlm.training.config import TrainingConfig
from speechlm.training.ema import EMA
from speechlm.training.metrics_logger import MetricsLogger
from speechlm.training.objective import Objective
from speechlm.training.optimizers import build_optimizers, learning_rate, trainable
from speechlm.utils import distributed
from speechlm.utils.distributed import Shard
from speechlm.utils.malloc import tune_glibc_malloc


def train(config: TrainingConfig, objective: Objective) -> Path:
    """Train ``objective`` as ``config`` says; return the folder of the exported model.

    A step is a function of the weights and the step's number: its batch and all its random draws
    are seeded by (seed, step). So a run that was killed at any moment and resumed ends with the
    very weights of one that was not.

    Raises:
        SpeechLMError: for a broken checkpoint, a loss that is no number, or an interruption.
    """
    every = config.log_every, config.validate_every, config.checkpoint_every
    if min(config.steps, config.gradient_accumulation_steps, *every) < 1:
        raise SpeechLMError(
            "training: steps, gradient_accumulation_steps, log_every, validate_every, "
            "checkpoint_every: one is 0"
        )
    tune_glibc_malloc()
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(
        mixed_precision=config.precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    fsdp.check(accelerator, objective)
    objective.shard = Shard(accelerator.process_index, accelerator.num_processes)
    average = EMA(objective.model, config.ema_decay)
    optimizers = {
        phase: build_optimizers(config.optimizer, objective.trained(phase))
        for phase in objective.phases
    }
    everything = [optimizer for group in optimizers.values() for optimizer in group]
    path = out / "checkpoint.pt"
    content: dict[str, Any] | None = None
    if config.resume == "auto" and path.exists():
        content = load_checkpoint(path)
        with _of_this_recipe(path):
            if content["identity"] != objective.identity:
                raise SpeechLMError(
                    f"{path}: learnt other units or text than the recipe names now; give another "
                    "training.out, or training.resume=never"
                )
            objective.load_state_dict(content["objective"])
            average.model.load_state_dict(content["average"])
    elif config.resume == "never":
        # Or a kill before the first checkpoint would leave the old run to resume.
        path.unlink(missing_ok=True)
    elif config.resume != "auto":
        raise SpeechLMError(f"training: resume is 'auto' or 'never', not {config.resume!r}")
    prepared = accelerator.prepare(objective, *everything)
    wrapped = prepared[0]
    average.place(objective.model, accelerator.device)
    step = 0
    if content is not None:
        # Only now are the optimizers' weights where they stay.
        with _of_this_recipe(path):
            for optimizer, state in zip(everything, content.pop("optimizers"), strict=True):
                fsdp.load_optimizer(optimizer, state)
            step = int(content["step"])
    # accelerate wraps the optimizers one for one, in order.
    rewrapped = iter(prepared[1:])
    optimizers = {phase: [next(rewrapped) for _ in group] for phase, group in optimizers.items()}

    def save(at: int) -> None:
        content = _content(at, objective, average, everything)
        if accelerator.is_main_process:
            save_checkpoint(path, content)

    journal = MetricsLogger(out, step)
    losses = _Means(accelerator.device)
    exported = out / "model"
    saved = step
    try:
        with _progress(accelerator.is_main_process) as progress:
            bar = progress.add_task("train", total=config.steps, completed=step)
            objective.train()
            while step < config.steps:
                started = time.perf_counter()
                batch = objective.batch(step)
                batch = {name: value.to(accelerator.device) for name, value in batch.items()}
                parts = objective.micro_batches(batch, config.gradient_accumulation_steps)
                for number, phase in enumerate(objective.phases):
                    if not objective.active(phase, step):
                        continue
                    seed = _mix(config.seed, step * len(objective.phases) + number)
                    for part in _parts(
                        accelerator, objective, wrapped, config.gradient_accumulation_steps, seed
                    ):
                        loss, logs = wrapped(parts[part], phase, step)
                        accelerator.backward(loss / config.gradient_accumulation_steps)
                        losses.add({f"{phase}/loss": loss, **logs})
                    rate = learning_rate(config.optimizer, step, config.steps)
                    norm = _update(accelerator, objective, phase, optimizers[phase], config, rate)
                    losses.add({f"{phase}/norm": norm})
                step += 1
                average.update(objective.model, step)
                losses.add({"seconds": torch.tensor(time.perf_counter() - started)})
                log, validate, keep = (
                    step % every == 0 or step == config.steps
                    for every in (config.log_every, config.validate_every, config.checkpoint_every)
                )
                if log:
                    values = losses.take()
                    turn_losses = [value for name, value in values.items() if "/loss" in name]
                    if not all(math.isfinite(value) for value in turn_losses):
                        raise _diverged(out, step)
                    if accelerator.is_main_process:
                        journal.write(step, "train", {**values, "rate": rate})
                    progress.update(bar, description=f"loss {turn_losses[0]:.3f}")
                if (validate or keep) and not _finite(objective):
                    # Neither the exported model nor the checkpoint shall be lost to such weights.
                    raise _diverged(out, step)
                if validate:
                    average.gather()
                    if accelerator.is_main_process:
                        figures = objective.validate(average.model)
                        journal.write(step, "valid", figures)
                        objective.export(average.model, exported, {"step": step, **figures})
                        objective.train()
                    accelerator.wait_for_everyone()
                if keep:
                    save(step)
                    saved = step
                progress.update(bar, completed=step)
    except KeyboardInterrupt:
        # The step under way may be half applied; the last whole one is on disk.
        raise SpeechLMError(
            f"interrupted; run the same command to continue from step {saved}"
        ) from None
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not _connection(error):
            raise
        raise SpeechLMError(
            f"another process of this run ended; run the same command to continue from step {saved}"
        ) from None
    finally:
        journal.close()
    return exported


def _connection(error: RuntimeError) -> bool:
    """Whether it is the connection to the other processes that failed."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def _parts(
    accelerator: Accelerator, objective: Objective, wrapped: torch.nn.Module, count: int, seed: int
) -> Iterator[int]:
    """The parts of a phase of a step, each as if it were a process; gradients meet in the last."""
    for index in range(count):
        torch.manual_seed(seed)
        last = index == count - 1
        together = nullcontext() if last else accelerator.no_sync(wrapped)
        with distributed.micro_batch(index, count), together:
            yield index


def _finite(objective: Objective) -> bool:
    """Whether all weights are, in all processes."""
    return bool(distributed.all_reduce_mean(fsdp.finite(list(objective.parameters())).float()) == 1)


def _diverged(out: Path, step: int) -> SpeechLMError:
    return SpeechLMError(
        f"{out}: the loss is no number at step {step}; lower training.optimizer.rate and resume"
    )


def _update(
    accelerator: Accelerator,
    objective: Objective,
    phase: str,
    optimizers: list[Optimizer],
    config: TrainingConfig,
    rate: float,
) -> torch.Tensor:
    """Clip, step, and drop the gradients of a phase; return their norm."""
    weights = trainable(objective.trained(phase))
    norm = accelerator.clip_grad_norm_(weights, config.optimizer.clip)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    # All gradients, not those of this phase: a phase may leave some on another's weights.
    objective.zero_grad(set_to_none=True)
    return torch.zeros(()) if norm is None else fsdp.whole(norm)


def _mix(seed: int, step: int) -> int:
    """A seed for a step: a linear congruence with a full period."""
    return (seed * 1_000_003 + step) * 1_000_003 % (1 << 63)


def _content(
    step: int, objective: Objective, average: EMA, optimizers: list[Optimizer]
) -> dict[str, Any]:
    average.gather()
    return {
        "step": step,
        "identity": objective.identity,
        "objective": fsdp.whole_state(objective.state_dict()),
        "average": average.model.state_dict(),
        "optimizers": [fsdp.whole_state(optimizer.state_dict()) for optimizer in optimizers],
    }


@contextmanager
def _of_this_recipe(path: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError):
        raise SpeechLMError(
            f"{path}: from another recipe; give another training.out, or training.resume=never"
        ) from None


class _Means:
    """Running means of logged tensors, read only when asked: reading waits for the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means, over the processes too, since the last time."""
        names = distributed.gather_keys(self.sums)  # not all have seen all kinds of tokens
        like: dict[str, Any] = {"dtype": torch.float64, "device": self.device}
        sums = torch.stack([torch.as_tensor(self.sums.get(name, 0.0), **like) for name in names])
        counts = torch.tensor([self.counts.get(name, 0) for name in names], **like)
        means = distributed.all_reduce_sum(sums) / distributed.all_reduce_sum(counts)
        values = dict(zip(names, means.tolist(), strict=True))
        self.sums, self.counts = {}, {}
        return values


def _progress(visible: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not visible,
    )
