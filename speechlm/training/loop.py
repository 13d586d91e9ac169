"""The training loop."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.optim import Optimizer

from speechlm.errors import SpeechLMError
from speechlm.nn import collective
from speechlm.nn.collective import Share
from speechlm.training.average import Average
from speechlm.training.checkpoint import load_checkpoint, save_checkpoint
from speechlm.training.config import TrainingConfig
from speechlm.training.heap import keep_heap
from speechlm.training.journal import Journal
from speechlm.training.objective import Objective
from speechlm.training.optimizers import build_optimizers, learning_rate


def train(config: TrainingConfig, objective: Objective) -> Path:
    """Train ``objective`` as ``config`` says; return the folder of the exported model.

    A step is a function of the weights and the step's number: its batch and all its random draws
    are seeded by (seed, step). So a run that was killed at any moment and resumed ends with the
    very weights of one that was not.

    Raises:
        SpeechLMError: for a broken checkpoint, a loss that is no number, or an interruption.
    """
    if min(config.steps, config.log_every, config.validate_every, config.checkpoint_every) < 1:
        raise SpeechLMError(
            "training: steps, log_every, validate_every, checkpoint_every: one is 0"
        )
    keep_heap()
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(
        mixed_precision=config.precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    objective.share = Share(accelerator.process_index, accelerator.num_processes)
    average = Average(objective.model, config.average)
    optimizers = {
        turn: build_optimizers(config.optimizer, objective.named_weights(turn))
        for turn in objective.turns
    }
    everything = [optimizer for group in optimizers.values() for optimizer in group]
    path = out / "checkpoint.pt"
    step = 0
    if config.resume == "auto" and path.exists():
        step = _restore(path, objective, average, everything)
    elif config.resume == "never":
        # Or a kill before the first checkpoint would leave the old run to resume.
        path.unlink(missing_ok=True)
    elif config.resume != "auto":
        raise SpeechLMError(f"training: resume is 'auto' or 'never', not {config.resume!r}")
    average.model.to(accelerator.device)
    prepared = accelerator.prepare(objective, *everything)
    wrapped = prepared[0]
    # accelerate wraps the optimizers one for one, in order.
    rewrapped = iter(prepared[1:])
    optimizers = {turn: [next(rewrapped) for _ in group] for turn, group in optimizers.items()}

    def save(at: int) -> None:
        if accelerator.is_main_process:
            save_checkpoint(path, _content(at, objective, average, everything))

    journal = Journal(out, step)
    losses = _Means()
    exported = out / "model"
    saved = step
    try:
        with _progress(accelerator.is_main_process) as progress:
            bar = progress.add_task("train", total=config.steps, completed=step)
            objective.train()
            while step < config.steps:
                started = time.perf_counter()
                torch.manual_seed(_mix(config.seed, step))
                batch = objective.batch(step)
                batch = {name: value.to(accelerator.device) for name, value in batch.items()}
                for turn in objective.turns:
                    if not objective.active(turn, step):
                        continue
                    loss, logs = wrapped(batch, turn, step)
                    accelerator.backward(loss)
                    rate = learning_rate(config.optimizer, step, config.steps)
                    norm = _update(accelerator, objective, turn, optimizers[turn], config, rate)
                    losses.add({f"{turn}/loss": loss, f"{turn}/norm": norm, **logs})
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


def _finite(objective: Objective) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in objective.parameters())


def _diverged(out: Path, step: int) -> SpeechLMError:
    return SpeechLMError(
        f"{out}: the loss is no number at step {step}; lower training.optimizer.rate and resume"
    )


def _update(
    accelerator: Accelerator,
    objective: Objective,
    turn: str,
    optimizers: list[Optimizer],
    config: TrainingConfig,
    rate: float,
) -> torch.Tensor:
    """Clip, step, and drop the gradients of a turn; return their norm."""
    weights = [weight for _, weight in objective.named_weights(turn)]
    norm = accelerator.clip_grad_norm_(weights, config.optimizer.clip)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    # All gradients, not those of this turn: a turn may leave some on another's weights.
    objective.zero_grad(set_to_none=True)
    return norm if norm is not None else torch.zeros(())


def _mix(seed: int, step: int) -> int:
    """A seed for a step: a linear congruence with a full period."""
    return (seed * 1_000_003 + step) * 1_000_003 % (1 << 63)


def _content(
    step: int, objective: Objective, average: Average, optimizers: list[Optimizer]
) -> dict[str, Any]:
    return {
        "step": step,
        "objective": objective.state_dict(),
        "average": average.model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }


def _restore(
    path: Path, objective: Objective, average: Average, optimizers: list[Optimizer]
) -> int:
    content = load_checkpoint(path)
    try:
        objective.load_state_dict(content["objective"])
        average.model.load_state_dict(content["average"])
        for optimizer, state in zip(optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        return int(content["step"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise SpeechLMError(
            f"{path}: from another recipe; give another training.out, or training.resume=never"
        ) from None


class _Means:
    """Running means of logged tensors, read only when asked: reading waits for the device."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, torch.Tensor]) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means, over the processes too, since the last time."""
        means = collective.mean(
            torch.stack([torch.as_tensor(x, dtype=torch.float64) for x in self.sums.values()])
        ).tolist()
        values = {name: x / self.counts[name] for name, x in zip(self.sums, means, strict=True)}
        self.sums, self.counts = {}, {}
        return values


def _progress(visible: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        disable=not visible,
    )
