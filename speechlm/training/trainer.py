"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

from speechlm.errors import Interrupted, SpeechLMError
from speechlm.training import fsdp
from speechlm.training.checkpoint import load_checkpoint, save_checkpoint
from speechlm.training.config import TrainingConfig
from speechlm.training.ema import EMA
from speechlm.training.metrics_logger import MetricsLogger
from speechlm.training.objective import Objective
from speechlm.training.optimizers import build_optimizers, learning_rate, trainable
from speechlm.training.prefetch import prefetched
from speechlm.training.progress import Progress, progress_display
from speechlm.training.run_lock import run_lock
from speechlm.training.running_means import RunningMeans
from speechlm.training.stop_signals import StopSignals
from speechlm.utils import distributed
from speechlm.utils.distributed import Shard
from speechlm.utils.malloc import tune_glibc_malloc

CHECKPOINT = "checkpoint.pt"
BEST_CHECKPOINT = "checkpoint-best.pt"
"""The state at the lowest validation loss so far."""


def train(config: TrainingConfig, objective: Objective) -> Path:
    """Train ``objective`` as ``config`` says; return the folder of the exported model.

    Raises:
        SpeechLMError: for a run folder in use, a broken checkpoint, a loss that is not finite, or a
            process of the run that ended.
        Interrupted: after SIGINT or SIGTERM, with a checkpoint of the last step.
    """
    return Trainer(config, objective).run()


class Trainer:
    """Trains an objective in a run folder, and resumes there exactly.

    A step is a function of the weights and the step's number: its batch and all its random draws
    are seeded by (seed, step). So a run that was killed at any moment and resumed ends with the
    very weights of one that was not.
    """

    def __init__(self, config: TrainingConfig, objective: Objective):
        _check(config)
        tune_glibc_malloc()
        self.config = config
        self.objective = objective
        self.out = Path(config.out)
        self.accelerator = Accelerator(
            mixed_precision=config.precision,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        fsdp.check(self.accelerator, objective)
        objective.shard = Shard(self.accelerator.process_index, self.accelerator.num_processes)
        self.ema = EMA(objective.model, config.ema_decay)
        self.step = 0
        self.saved_step = 0
        self.best_loss = math.inf

    def run(self) -> Path:
        """Train from the checkpoint, if there is one, to the last step."""
        self.out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            if self.accelerator.is_main_process:
                stack.enter_context(run_lock(self.out))
            self._prepare()
            self.means = RunningMeans(self.accelerator.device)
            if self.accelerator.is_main_process:
                self.logger = stack.enter_context(
                    MetricsLogger(self.out, self.step, anew=self.config.resume == "never")
                )
            stack.enter_context(self._one_line_errors())
            signals = stack.enter_context(StopSignals())
            progress = stack.enter_context(
                progress_display(self.accelerator.is_main_process, self.step, self.config.steps)
            )
            self._train_steps(signals, progress)
        return self.out / "model"

    def _prepare(self) -> None:
        """Build the optimizers, load the checkpoint, and place everything on the device."""
        objective, path = self.objective, self.out / CHECKPOINT
        groups = {
            phase: build_optimizers(self.config.optimizer, objective.trained(phase))
            for phase in objective.phases
        }
        self.all_optimizers = [optimizer for group in groups.values() for optimizer in group]
        content: dict[str, Any] | None = None
        if self.config.resume == "never":
            # Or a kill before the first checkpoint would leave the old run to resume.
            for name in (CHECKPOINT, BEST_CHECKPOINT):
                (self.out / name).unlink(missing_ok=True)
        elif path.exists():
            content = load_checkpoint(path)
            self._load_weights(content, path)
        prepared = self.accelerator.prepare(objective, *self.all_optimizers)
        self.wrapped = prepared[0]
        self.ema.place(objective.model, self.accelerator.device)
        if content is not None:
            # Only now are the optimizers' weights where they stay.
            with _of_this_recipe(path):
                states = content.pop("optimizers")
                for optimizer, state in zip(self.all_optimizers, states, strict=True):
                    fsdp.load_optimizer(optimizer, state)
                self.step = self.saved_step = int(content["step"])
                self.best_loss = float(content.get("best_loss", math.inf))
        # accelerate wraps the optimizers one for one, in order.
        wrapped = iter(prepared[1:])
        self.optimizers = {phase: [next(wrapped) for _ in group] for phase, group in groups.items()}

    def _load_weights(self, content: dict[str, Any], path: Path) -> None:
        with _of_this_recipe(path):
            if content["identity"] != self.objective.identity:
                raise SpeechLMError(
                    f"{path}: trained with other units or another vocabulary than those that the "
                    "recipe names now; give another training.out, or training.resume=never"
                )
            self.objective.load_state_dict(content["objective"])
            self.ema.model.load_state_dict(content["average"])

    def _train_steps(self, signals: StopSignals, progress: Progress) -> None:
        self.objective.train()
        with prefetched(self.objective.batch, self.step, self.config.steps) as batches:
            while self.step < self.config.steps:
                started = time.perf_counter()
                batch = next(batches)
                waited = time.perf_counter() - started
                progress.amount(*self.objective.batch_amount(batch))
                self._train_step(batch)
                seconds = time.perf_counter() - started
                self.means.add(
                    {"seconds": torch.tensor(seconds), "data_seconds": torch.tensor(waited)}
                )
                self._after_step(progress)
                signum = signals.agreed()
                if signum is not None and self.step < self.config.steps:
                    self._save_if_new()
                    raise Interrupted(
                        f"interrupted; run the same command to continue from step {self.step}",
                        signum,
                    )

    def _train_step(self, batch: dict[str, Tensor]) -> None:
        """One optimizer step of each active phase."""
        objective, count = self.objective, self.config.gradient_accumulation_steps
        batch = {
            name: value.to(self.accelerator.device, non_blocking=True)
            for name, value in batch.items()
        }
        micro_batches = objective.micro_batches(batch, count)
        for number, phase in enumerate(objective.phases):
            if not objective.active(phase, self.step):
                continue
            seed = step_seed(self.config.seed, self.step * len(objective.phases) + number)
            for index in range(count):
                torch.manual_seed(seed)
                # The gradients of all processes are reduced in the last micro-batch.
                is_last = index == count - 1
                sync = nullcontext() if is_last else self.accelerator.no_sync(self.wrapped)
                with distributed.micro_batch(index, count), sync:
                    loss, logs = self.wrapped(micro_batches[index], phase, self.step)
                    self.accelerator.backward(loss / count)
                self.means.add({f"{phase}/loss": loss, **logs})
            self.means.add({f"{phase}/norm": self._update(phase)})
        self.step += 1
        self.ema.update(objective.model, self.step)

    def _update(self, phase: str) -> Tensor:
        """Clip, step, and drop the gradients of a phase; return their norm."""
        weights = trainable(self.objective.trained(phase))
        norm = self.accelerator.clip_grad_norm_(weights, self.config.optimizer.clip)
        rate = learning_rate(self.config.optimizer, self.step, self.config.steps)
        for optimizer in self.optimizers[phase]:
            for group in optimizer.param_groups:
                group["lr"] = rate * self.objective.rate_scale(phase)
            optimizer.step()
        # All gradients, not those of this phase: a phase may leave some on another's weights.
        self.objective.zero_grad(set_to_none=True)
        return torch.zeros(()) if norm is None else fsdp.whole(norm)

    def _after_step(self, progress: Progress) -> None:
        """Log, validate and save when it is time to."""
        if self._is_due(self.config.log_every):
            self._log(progress)
        validate = self._is_due(self.config.validate_every)
        save = self._is_due(self.config.checkpoint_every)
        if (validate or save) and not self._is_finite():
            # Neither the exported model nor the checkpoint shall be lost to such weights.
            raise self._diverged()
        if validate:
            self._validate(progress)
        if save:
            self._save(CHECKPOINT)
        progress.step(self.step)

    def _is_due(self, interval: int) -> bool:
        return self.step % interval == 0 or self.step == self.config.steps

    def _log(self, progress: Progress) -> None:
        values = self.means.take()
        losses = {name: value for name, value in values.items() if name.endswith("/loss")}
        if not all(map(math.isfinite, losses.values())):
            raise self._diverged()
        rate = learning_rate(self.config.optimizer, self.step - 1, self.config.steps)
        if self.accelerator.is_main_process:
            self.logger.write(self.step, "train", {**values, "rate": rate})
        progress.losses(losses)

    def _validate(self, progress: Progress) -> None:
        """Validate and export the averaged weights; keep the state of the lowest loss."""
        self.ema.gather()
        metrics: dict[str, float] = {}
        if self.accelerator.is_main_process:
            metrics = self.objective.validate(self.ema.model)
            self.logger.write(self.step, "valid", metrics)
            self.objective.export(
                self.ema.model, self.out / "model", {"step": self.step, **metrics}
            )
            self.objective.train()
            progress.validation(metrics["loss"])
        self.accelerator.wait_for_everyone()
        # All processes take part in a checkpoint, so all have to know whether there is one.
        loss = distributed.broadcast_number(metrics.get("loss", math.inf))
        if loss < self.best_loss:
            self.best_loss = loss
            self._save(BEST_CHECKPOINT)

    def _save_if_new(self) -> None:
        if self.saved_step != self.step:
            if not self._is_finite():
                raise self._diverged()
            self._save(CHECKPOINT)

    def _save(self, name: str) -> None:
        self.ema.gather()
        content = {
            "step": self.step,
            "best_loss": self.best_loss,
            "identity": self.objective.identity,
            "objective": fsdp.whole_state(self.objective.state_dict()),
            "average": self.ema.model.state_dict(),
            "optimizers": [fsdp.whole_state(one.state_dict()) for one in self.all_optimizers],
        }
        if self.accelerator.is_main_process:
            save_checkpoint(self.out / name, content)
        if name == CHECKPOINT:
            self.saved_step = self.step

    def _is_finite(self) -> bool:
        """Whether all weights are finite, in all processes."""
        finite = fsdp.finite(list(self.objective.parameters())).float()
        return bool(distributed.all_reduce_mean(finite) == 1)

    def _diverged(self) -> SpeechLMError:
        return SpeechLMError(
            f"{self.out}: the loss is not finite at step {self.step}; lower "
            "training.optimizer.rate and resume"
        )

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        """Turn a second Ctrl-C, and the loss of another process, into one line."""
        resume = "run the same command to continue from step"
        try:
            yield
        except KeyboardInterrupt:
            # The step under way may be half applied; the last checkpoint is whole.
            raise Interrupted(f"interrupted; {resume} {self.saved_step}") from None
        except RuntimeError as error:
            if self.accelerator.num_processes == 1 or not _is_connection(error):
                raise
            raise SpeechLMError(
                f"another process of this run ended; {resume} {self.saved_step}"
            ) from None


def step_seed(seed: int, step: int) -> int:
    """A seed for a step: a linear congruence with a full period."""
    return (seed * 1_000_003 + step) * 1_000_003 % (1 << 63)


def _check(config: TrainingConfig) -> None:
    for name in (
        "steps",
        "gradient_accumulation_steps",
        "log_every",
        "validate_every",
        "checkpoint_every",
    ):
        if getattr(config, name) < 1:
            raise SpeechLMError(f"training.{name}: 1 or more, not {getattr(config, name)}")
    if config.resume not in ("auto", "never"):
        raise SpeechLMError(f"training: resume is 'auto' or 'never', not {config.resume!r}")


def _is_connection(error: RuntimeError) -> bool:
    """Whether it is the connection to the other processes that failed."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


@contextmanager
def _of_this_recipe(path: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError):
        raise SpeechLMError(
            f"{path}: from another recipe; give another training.out, or training.resume=never"
        ) from None
