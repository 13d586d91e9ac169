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
from speechlm.training.compile import compile_networks
from speechlm.training.config import TrainingConfig
from speechlm.training.ema import EMA
from speechlm.training.metrics import MetricAccumulator
from speechlm.training.metrics_logger import MetricsLogger
from speechlm.training.objective import Objective
from speechlm.training.optimizers import build_optimizers, learning_rate, trainable
from speechlm.training.prefetch import prefetched
from speechlm.training.progress import Progress, progress_display
from speechlm.training.run_lock import run_lock
from speechlm.training.stop_signals import StopSignals
from speechlm.utils import distributed
from speechlm.utils.distributed import Shard
from speechlm.utils.malloc import tune_glibc_malloc

CHECKPOINT = "checkpoint.pt"
BEST_CHECKPOINT = "checkpoint-best.pt"
"""The state at the lowest validation loss so far."""
AMOUNT = "amount/"
"""Begins the name of the metric that sums what batches hold, before the unit."""


def train(config: TrainingConfig, objective: Objective) -> Path:
    """Train ``objective`` as ``config`` says; return the folder of the exported model.

    Raises:
        SpeechLMError: for a run folder in use, a broken checkpoint, a loss that is not finite, or a
            process of the run that ended.
        Interrupted: after SIGINT or SIGTERM, with a checkpoint of the last step.
    """
    return Trainer(config, objective).run()


PRECISIONS = {"no": "no", "bf16": "bf16", "fp16": "fp16", "False": "no"}
"""accelerate's names of ``training.precision``; to YAML, a bare ``no`` is false."""


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
            mixed_precision=PRECISIONS[config.precision],
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        fsdp.check(self.accelerator, objective, config.compile)
        objective.shard = Shard(self.accelerator.process_index, self.accelerator.num_processes)
        self.device = self.accelerator.device
        self.ema = EMA(objective.model, config.ema_decay)
        self.metrics = MetricAccumulator(self.device)
        self.step = 0
        self.saved_step = 0
        self.best_loss = math.inf
        self.seconds = 0.0

    def run(self) -> Path:
        """Train from the checkpoint, if there is one, to the last step."""
        self.out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._lock(stack)
            self._prepare()
            if self.accelerator.is_main_process:
                self.logger = stack.enter_context(
                    MetricsLogger(self.out, self.step, anew=self.config.resume == "never")
                )
            stack.enter_context(self._one_line_errors())
            signals = stack.enter_context(StopSignals(self.device))
            progress = stack.enter_context(
                progress_display(self.accelerator.is_main_process, self.step, self.config.steps)
            )
            self._train_steps(signals, progress)
        return self.out / "model"

    def _lock(self, stack: ExitStack) -> None:
        """Hold the run folder in the main process; where it is in use, refuse it in all."""
        refusal = ""
        if self.accelerator.is_main_process:
            try:
                stack.enter_context(run_lock(self.out))
            except SpeechLMError as error:
                refusal = str(error)
        refusal = distributed.broadcast(refusal)
        if refusal:
            raise SpeechLMError(refusal)

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
        if self.config.compile:
            compile_networks(objective)
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
                self.best_loss = float(content["best_loss"])
                self.seconds = float(content.get("seconds", 0.0))
                # They are sums over all processes: one process continues them.
                if self.accelerator.is_main_process and "metrics" in content:
                    self.metrics.load_state(content["metrics"])
        # accelerate wraps the optimizers one for one, in order.
        wrapped = iter(prepared[1:])
        self.optimizers = {phase: [next(wrapped) for _ in group] for phase, group in groups.items()}
        objective.place_data(self.device)

    def _load_weights(self, content: dict[str, Any], path: Path) -> None:
        with _of_this_recipe(path):
            if content["identity"] != self.objective.identity:
                raise SpeechLMError(
                    f"{path}: trained with other units or another vocabulary than those that the "
                    "recipe names now; give another training.out, or training.resume=never"
                )
            # Language models had the lowest loss among their weights.
            best_loss = content["objective"].pop("best", math.inf)
            content.setdefault("best_loss", float(best_loss))
            self.objective.load_state_dict(content["objective"])
            self.ema.model.load_state_dict(content["average"])

    def _train_steps(self, signals: StopSignals, progress: Progress) -> None:
        self.objective.train()
        with prefetched(self._batch, self.step, self.config.steps) as batches:
            while not self._is_over:
                started = time.perf_counter()
                batch, amount, unit = next(batches)
                waited = time.perf_counter() - started
                progress.amount(amount, unit)
                self._train_step(batch)
                seconds = time.perf_counter() - started
                values = {"seconds": seconds, "data_seconds": waited, AMOUNT + unit: amount}
                self.metrics.add({name: torch.tensor(value) for name, value in values.items()})
                self._spend(seconds)
                progress.plan(self.planned_steps)
                self._after_step(progress)
                signum = signals.agreed()
                if signum and not self._is_over:
                    self._save_if_new()
                    raise Interrupted(
                        f"interrupted; run the same command to continue from step {self.step}",
                        signum,
                    )

    @property
    def _is_over(self) -> bool:
        budget = self.config.minutes
        return self.step >= self.config.steps or (
            budget is not None and self.seconds >= 60 * budget
        )

    @property
    def planned_steps(self) -> int:
        """The last step: that of the configuration, or where the time budget ends at this pace."""
        if self.config.minutes is None or not self.seconds:
            return self.config.steps
        planned = math.ceil(self.step * 60 * self.config.minutes / self.seconds)
        return min(self.config.steps, max(planned, self.step))

    def _spend(self, seconds: float) -> None:
        """Count seconds of the time budget: of the main process, so that all end at one step."""
        if self.config.minutes is not None:
            self.seconds = distributed.broadcast(self.seconds + seconds)

    def _batch(self, step: int) -> tuple[dict[str, Tensor], float, str]:
        """This process's batch of a step, on the device; how much that of all processes holds, and
        of what. It runs in a thread of its own.
        """
        with torch.no_grad():  # the mode belongs to the thread
            batch = self.objective.batch(step)
        amount, unit = self.objective.batch_amount(batch)
        if self.device.type == "cuda":
            batch = {name: x if x.is_cuda else x.pin_memory() for name, x in batch.items()}
        placed = {name: x.to(self.device, non_blocking=True) for name, x in batch.items()}
        return placed, amount * self.accelerator.num_processes, unit

    def _train_step(self, batch: dict[str, Tensor]) -> None:
        """One optimizer step of each active phase."""
        objective, count = self.objective, self.config.gradient_accumulation_steps
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
                self.metrics.add({f"{phase}/loss": loss, **logs})
            self.metrics.add({f"{phase}/grad_norm": self._update(phase)})
        self.step += 1
        self.ema.update(objective.model, self.step)

    def _update(self, phase: str) -> Tensor:
        """Clip, step, and drop the gradients of a phase; return their norm."""
        weights = trainable(self.objective.trained(phase))
        clipped = self.accelerator.clip_grad_norm_(weights, self.config.optimizer.clip)
        norm = torch.zeros(()) if clipped is None else fsdp.whole(clipped)
        if self.reads_each_norm and not math.isfinite(norm):
            self.step += 1
            raise self._diverged()
        rate = learning_rate(self.config.optimizer, self.step, self.planned_steps)
        for optimizer in self.optimizers[phase]:
            for group in optimizer.param_groups:
                group["lr"] = rate * self.objective.rate_scale(phase)
            optimizer.step()
        # All gradients, not those of this phase: a phase may leave some on another's weights.
        self.objective.zero_grad(set_to_none=True)
        return norm

    @property
    def reads_each_norm(self) -> bool:
        """Whether every gradient is checked to be finite: where reading it waits for no device.

        Elsewhere the log checks the losses, and validation and checkpoint the weights.
        """
        return self.device.type == "cpu"

    def _after_step(self, progress: Progress) -> None:
        """Log, validate and save when it is time to."""
        started = time.perf_counter()
        if self._is_due(self.config.log_every):
            self._log(progress)
        validate = self._is_due(self.config.validate_every)
        save = self._is_due(self.config.checkpoint_every)
        if (validate or save) and not self._is_finite():
            # Neither the exported model nor the checkpoint shall be lost to such weights.
            raise self._diverged()
        if validate:
            self._validate(progress)
        if validate and not self._is_over:  # what follows the last step is no training
            self._spend(time.perf_counter() - started)
        if save or self._is_over:
            self._save(CHECKPOINT)
        progress.step(self.step)

    def _is_due(self, interval: int) -> bool:
        return self.step % interval == 0 or self._is_over

    def _log(self, progress: Progress) -> None:
        values = self.metrics.take()
        losses = {name: value for name, value in values.items() if name.endswith("/loss")}
        if not all(map(math.isfinite, losses.values())):
            raise self._diverged()
        for name in [name for name in values if name.startswith(AMOUNT)]:
            per_second = values.pop(name) / max(values["seconds"], 1e-9)
            values[f"{name.removeprefix(AMOUNT).replace(' ', '_')}_per_second"] = per_second
        rate = learning_rate(self.config.optimizer, self.step - 1, self.planned_steps)
        if self.accelerator.is_main_process:
            self.logger.write(self.step, "train", {**values, "rate": rate})
        progress.losses(losses)

    def _validate(self, progress: Progress) -> None:
        """Validate and export the averaged weights; keep the state of the lowest loss."""
        self.ema.gather()
        loss = math.inf
        if self.accelerator.is_main_process:
            metrics = self.objective.validate(self.ema.model)
            loss = metrics["loss"]
            self.logger.write(self.step, "valid", metrics)
            decoded = self.objective.validation_samples(self.ema.model)
            if decoded:
                self.logger.write_clips(self.step, decoded, self.objective.validation_originals())
            self._export({"step": self.step, **metrics})
            self.objective.train()
            progress.validation(loss)
        # All processes take part in a checkpoint, so all have to know whether there is one.
        loss = distributed.broadcast(loss)
        if loss < self.best_loss:
            self.best_loss = loss
            self._save(BEST_CHECKPOINT)

    def _export(self, metadata: dict[str, Any]) -> None:
        """Write the averaged model: the best so far, or each in turn, as the objective asks."""
        folders = []
        if self.config.keep_models:
            folders.append(self.out / "models" / f"{self.step:06d}")
        if metadata["loss"] < self.best_loss or not self.objective.selects_best:
            folders.append(self.out / "model")
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            self.objective.export(self.ema.model, folder, metadata)

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
            "seconds": self.seconds,
            "identity": self.objective.identity,
            "objective": fsdp.whole_state(self.objective.state_dict()),
            "average": self.ema.model.state_dict(),
            "optimizers": [fsdp.whole_state(one.state_dict()) for one in self.all_optimizers],
            "metrics": self.metrics.state(),
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
        then = f"continue from step {self.saved_step}" if self.saved_step else "start again"
        return SpeechLMError(
            f"{self.out}: the loss or its gradient is not finite at step {self.step}; lower "
            f"training.optimizer.rate and run the same command to {then}"
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
    if config.precision not in PRECISIONS:
        raise SpeechLMError(f"training.precision is no, bf16 or fp16, not {config.precision}")
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
