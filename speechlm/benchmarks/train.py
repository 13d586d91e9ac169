"""Where the CPU time of a training step goes, part by part."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from rich.table import Table
from torch import Tensor, nn

from speechlm import hub
from speechlm.data.mixture import MixtureConfig, TaskConfig
from speechlm.data.prepare import prepare
from speechlm.data.tokenize import tokenize
from speechlm.errors import SpeechLMError
from speechlm.lm.config import DepthConfig, LMConfig
from speechlm.lm.model import UnitLM
from speechlm.training.codec import CodecDataConfig, CodecRecipe
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.ema import EMA
from speechlm.training.lm import LMRecipe
from speechlm.training.objective import Objective
from speechlm.training.optimizers import build_optimizers, trainable
from speechlm.training.registry import OBJECTIVES, load_recipe
from speechlm.training.vocoder import VocoderDataConfig, VocoderRecipe
from speechlm.units.text import FILE as TEXT_MODEL

WARMUP = 15
"""Steps before the measured ones: codebooks start one a step, and memory is allocated."""
KINDS = ("codec", "vocoder", "lm")


@dataclass(frozen=True)
class StepPart:
    """One part of a step: milliseconds of CPU time, without those of parts within it."""

    name: str
    milliseconds: float


@dataclass(frozen=True)
class TrainingReport:
    """The mean step of one objective. ``load`` is the machine's before: above 0 it disturbs."""

    kind: str
    steps: int
    threads: int
    load: float
    parts: list[StepPart]
    amount: float
    """Seconds of audio or, for a language model, tokens in a batch."""
    unit: str
    peak_mib: float
    """The largest resident memory of the process."""

    @property
    def milliseconds(self) -> float:
        """CPU time of a step."""
        return sum(part.milliseconds for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        throughput = 1000 * self.amount / self.milliseconds
        return {**asdict(self), "milliseconds": self.milliseconds, "per_cpu_second": throughput}

    def table(self) -> Table:
        per_second = 1000 * self.amount / self.milliseconds
        title = (
            f"{self.kind}: {self.milliseconds:.1f} ms of CPU time a step (n = {self.steps}), "
            f"{per_second:.0f} {self.unit} a CPU second, {self.peak_mib:.0f} MiB at most, "
            f"threads {self.threads}, load {self.load:.1f} before"
        )
        table = Table("part", "ms", "%", title=title)
        for part in self.parts:
            share = 100 * part.milliseconds / self.milliseconds
            table.add_row(part.name, f"{part.milliseconds:.1f}", f"{share:.1f}")
        return table


class Stopwatch:
    """CPU seconds of nested regions; the time of an inner one is not counted in the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def region(self, name: str) -> Iterator[None]:
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def _switch(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def watch(self, owner: object, method: str, name: str) -> None:
        """Measure the calls of a method of ``owner`` as the region ``name``."""
        function: Callable[..., Any] | None = getattr(owner, method, None)
        if function is None:
            return
        timed = function

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.region(name):
                return timed(*args, **kwargs)

        setattr(owner, method, call)


def run(path: Path, overrides: list[str], steps: int) -> TrainingReport:
    """Measure ``steps`` steps of a recipe, as they are at the end of its training.

    Raises:
        SpeechLMError: as :func:`speechlm.training.registry.load_recipe`, and for a recipe without
            steps.
    """
    kind, recipe = load_recipe(path, overrides)
    if kind not in OBJECTIVES:
        raise SpeechLMError(f"{path}: kind {kind} is not trained in steps")
    return measure(kind, recipe, steps)


def synthetic(kind: str, steps: int) -> TrainingReport:
    """Measure the default recipe of a kind on tones in noise, of which any machine has some.

    Raises:
        SpeechLMError: for an unknown kind.
    """
    if kind not in KINDS:
        raise SpeechLMError(f"bench train: a recipe, or one of {', '.join(KINDS)}, not {kind}")
    with tempfile.TemporaryDirectory(prefix="speechlm-train-") as name:
        corpus = _corpus(Path(name))
        training = TrainingConfig(precision="bf16", optimizer=OptimizerConfig(kind="muon"))
        if kind == "codec":
            data = CodecDataConfig([str(corpus)])
            return measure(kind, CodecRecipe(data=data, training=training), steps)
        if kind == "vocoder":
            cache = str(Path(name) / "cache")
            crops = VocoderDataConfig([str(corpus)], cache)
            return measure(kind, VocoderRecipe(levels=1, data=crops, training=training), steps)
        tokens, text = Path(name) / "tokens", str(hub.find_model("lm-16k") / TEXT_MODEL)
        tokenize(corpus, tokens, levels=2)
        mixture = MixtureConfig([str(tokens)], 2, text, {"speech": TaskConfig()})
        lm = LMConfig(dim=192, ffn_dim=512, depth=DepthConfig(64, 1, 4, 128))
        return measure(kind, LMRecipe(lm=lm, data=mixture, training=training), steps)


def measure(kind: str, recipe: Any, steps: int) -> TrainingReport:
    """Measure ``steps`` steps of a recipe; see :func:`run`."""
    load = os.getloadavg()[0]
    config: TrainingConfig = recipe.training
    objective = OBJECTIVES[kind][1](recipe)
    ema = EMA(objective.model, config.ema_decay)
    optimizers = {
        phase: build_optimizers(config.optimizer, objective.trained(phase))
        for phase in objective.phases
    }
    objective.train()
    watch = Stopwatch()
    _watch_parts(objective, watch)
    amount, unit = 0.0, ""
    for number in range(-WARMUP, steps):
        if number == 0:
            watch.seconds.clear()
        # As at the end of the run, when every phase has begun.
        step = config.steps + WARMUP + number
        with watch.region("data"):
            batch = objective.batch(step)
        amount, unit = objective.batch_amount(batch)
        _step(objective, batch, step, config, optimizers, watch)
        with watch.region("EMA"):
            ema.update(objective.model, step)
    order = sorted(watch.seconds.items(), key=lambda item: -item[1])
    parts = [StepPart(name, 1000 * seconds / steps) for name, seconds in order]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return TrainingReport(kind, steps, torch.get_num_threads(), load, parts, amount, unit, peak)


def _step(
    objective: Objective,
    batch: dict[str, Tensor],
    step: int,
    config: TrainingConfig,
    optimizers: dict[str, list[torch.optim.Optimizer]],
    watch: Stopwatch,
) -> None:
    [batch] = objective.micro_batches(batch, 1)
    half = config.precision == "bf16"
    for phase in objective.phases:
        if not objective.active(phase, step):
            continue
        prefix = f"{phase}: " if len(objective.phases) > 1 else ""
        torch.manual_seed(step)
        with watch.region(f"{prefix}other forward"), torch.autocast("cpu", torch.bfloat16, half):
            loss, _ = objective(batch, phase, step)
        with watch.region(f"{prefix}backward"):
            loss.backward()
        with watch.region(f"{prefix}clip"):
            weights = trainable(objective.trained(phase))
            torch.nn.utils.clip_grad_norm_(weights, config.optimizer.clip)
        for optimizer in optimizers[phase]:
            with watch.region(f"{prefix}{type(optimizer).__name__}"):
                optimizer.step()
        with watch.region("zero_grad"):
            objective.zero_grad(set_to_none=True)


def _watch_parts(objective: Objective, watch: Stopwatch) -> None:
    """The children of the model, and of the objective, which are its losses, are parts."""
    losses: dict[str, nn.Module] = {}
    for name, part in objective.named_children():
        if isinstance(part, nn.ModuleDict):  # of losses by name
            losses |= part.items()
        elif part is not objective.model:
            losses[name] = part
    parts: dict[str, nn.Module] = dict(objective.model.named_children())
    parts |= {f"loss: {name}": part for name, part in losses.items()}
    for name, part in parts.items():
        for method in ("forward", "step"):
            watch.watch(part, method, name)
    if isinstance(objective.model, UnitLM):  # which does more than call its children
        watch.watch(objective.model, "embed", "embedding")
        watch.watch(objective.model, "loss", "loss: likelihood")


def _corpus(folder: Path) -> Path:
    """Forty gliding tones in noise of two seconds, as a prepared corpus."""
    source, out = folder / "source", folder / "corpus"
    source.mkdir()
    random = np.random.default_rng(0)
    seconds = np.arange(2 * 16000) / 16000
    for number in range(40):
        glide = np.sin(2 * np.pi * (120 + 10 * number) * seconds * (1 + 0.2 * seconds))
        wave = 0.3 * glide + 0.02 * random.standard_normal(len(seconds))
        soundfile.write(source / f"{number:02d}.wav", wave, 16000)
    declared = folder / "corpus.yaml"
    lines = ["name: tones", "kind: folder", f"path: {source}", f"output: {out}"]
    split = "split: {by: utterance, dev: 0.2, test: 0}"
    declared.write_text("\n".join([*lines, split]) + "\n")
    prepare(declared, [])
    return out
