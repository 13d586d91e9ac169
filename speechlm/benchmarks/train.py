"""Throughput of training, and where the time of a step goes, part by part."""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from speechlm import hub
from speechlm.benchmarks import SYNTHETIC
from speechlm.data.prepare import prepare
from speechlm.data.tokenize import tokenize
from speechlm.errors import SpeechLMError
from speechlm.lm.model import UnitLM
from speechlm.tokenizers.text import FILE as TEXT_MODEL
from speechlm.training.compile import compile_networks
from speechlm.training.config import TrainingConfig
from speechlm.training.ema import EMA
from speechlm.training.objective import Objective
from speechlm.training.optimizers import build_optimizers, trainable
from speechlm.training.prefetch import prefetched
from speechlm.training.registry import OBJECTIVES, load_recipe

WARMUP = 15
"""Steps before the measured ones: codebooks start one a step, and memory is allocated."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class StepPart:
    """One part of a step: milliseconds, without those of parts within it."""

    name: str
    milliseconds: float


@dataclass(frozen=True)
class TrainingReport:
    """The mean step of one objective. ``load`` is the machine's before: above 0 it disturbs.

    Times of parts are of CPU time on a CPU, and on a GPU of a clock that waits for it at each edge
    of a part; :attr:`step_seconds` is of a clock, of steps without such edges.
    """

    kind: str
    device: str
    compiled: bool
    steps: int
    threads: int
    load: float
    parts: list[StepPart]
    step_seconds: float
    amount: float
    """Seconds of audio or, for a language model, tokens in a batch."""
    unit: str
    peak_mib: float
    """The largest resident memory of the process; on a GPU, of its tensors."""
    flops: int
    """Of matrix products, convolutions and attention in a step, forward and backward."""
    product_flops: float
    """A second, that the device reaches in a large matrix product in the recipe's precision."""

    @property
    def milliseconds(self) -> float:
        """Time of a step, the sum of its parts."""
        return sum(part.milliseconds for part in self.parts)

    @property
    def per_second(self) -> float:
        """Amount of data a second."""
        return self.amount / self.step_seconds

    @property
    def utilization(self) -> float:
        """The fraction of ``product_flops`` that is used (MFU, Chowdhery et al. 2022, of what the
        device was seen to reach, not of what its maker states)."""
        return self.flops / self.step_seconds / self.product_flops

    def to_json(self) -> dict[str, Any]:
        throughput = 1000 * self.amount / self.milliseconds
        derived = {"milliseconds": self.milliseconds, "per_cpu_second": throughput}
        derived |= {"per_second": self.per_second, "mfu": self.utilization}
        return {**asdict(self), **derived}

    def table(self) -> Table:
        clock = "CPU time" if self.device == "cpu" else "time"
        per_second = 1000 * self.amount / self.milliseconds
        title = (
            f"{self.kind} on {self.device}{', compiled' if self.compiled else ''}: "
            f"{self.milliseconds:.1f} ms of {clock} a step (n = {self.steps}), "
            f"{per_second:.0f} {self.unit} a second of it; in all {self.per_second:.0f} "
            f"{self.unit} a second, MFU {100 * self.utilization:.1f} %, {self.peak_mib:.0f} MiB at "
            f"most, threads {self.threads}, load {self.load:.1f} before"
        )
        table = Table("part", "ms", "%", title=title)
        for part in self.parts:
            share = 100 * part.milliseconds / self.milliseconds
            table.add_row(part.name, f"{part.milliseconds:.1f}", f"{share:.1f}")
        return table


class Stopwatch:
    """Seconds of nested regions; the time of an inner one is not counted in the outer one.

    They are of CPU time; on a GPU, of a clock that is read when the GPU has finished.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.device = device
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
        now = time.process_time() if self.device.type == "cpu" else _seconds(self.device)
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def watch(self, owner: object, method: str, name: str) -> Callable[[], None]:
        """Measure the calls of a method of ``owner`` as the region ``name``, until it is called
        what this returns."""
        function: Callable[..., Any] | None = getattr(owner, method, None)
        if function is None:
            return lambda: None
        timed = function

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.region(name):
                return timed(*args, **kwargs)

        setattr(owner, method, call)
        return lambda: delattr(owner, method)


def run(
    path: Path,
    overrides: list[str],
    steps: int,
    batches: Sequence[int] = (),
    device: str = "cpu",
) -> list[TrainingReport]:
    """Measure ``steps`` steps of a recipe, as they are at the end of its training.

    Args:
        batches: values of ``data.batch``, each with a report of its own; none: that of the recipe.
        device: where to train.

    Raises:
        SpeechLMError: as :func:`speechlm.training.registry.load_recipe`, for a recipe without
            steps, a device that is not there, or too little memory.
    """
    place = _device(device)
    reports = []
    for batch in batches or (None,):
        own = overrides if batch is None else [*overrides, f"data.batch={batch}"]
        kind, recipe = load_recipe(path, own)
        if kind not in OBJECTIVES:
            raise SpeechLMError(f"{path}: kind {kind} is not trained in steps")
        try:
            reports.append(measure(kind, recipe, steps, place))
        except torch.OutOfMemoryError:
            raise SpeechLMError(
                f"{place}: data.batch={recipe.data.batch} needs more memory; measure a smaller one"
            ) from None
    return reports


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpeechLMError(f"--device: cpu or cuda, not {name}") from None
    if device.type not in ("cpu", "cuda"):
        raise SpeechLMError(f"--device: cpu or cuda, not {name}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpeechLMError("--device cuda: no GPU that CUDA drives")
    return device


def synthetic(
    kind: str,
    overrides: list[str],
    steps: int,
    batches: Sequence[int] = (),
    device: str = "cpu",
) -> list[TrainingReport]:
    """Measure the default recipe of a kind on tones in noise, of which any machine has some.

    Raises:
        SpeechLMError: as :func:`run`, and for an unknown kind.
    """
    if kind not in SYNTHETIC:
        raise SpeechLMError(f"bench train: a recipe, or one of {', '.join(SYNTHETIC)}, not {kind}")
    with tempfile.TemporaryDirectory(prefix="speechlm-train-") as name:
        corpus = _corpus(Path(name))
        declared: dict[str, Any] = {
            "kind": kind,
            "data": {"corpora": [str(corpus)]},
            "training": {"precision": "bf16", "optimizer": {"kind": "muon"}},
        }
        if kind == "vocoder":
            declared["num_codebooks"] = 1
            declared["data"]["cache"] = str(Path(name) / "cache")
        if kind == "lm":
            tokens, text = Path(name) / "tokens", hub.find_model("lm-16k") / TEXT_MODEL
            tokenize(corpus, tokens, num_codebooks=2)
            declared["data"] = {
                "corpora": [str(tokens)],
                "num_codebooks": 2,
                "text": str(text),
                "tasks": {"speech": {}},
            }
            depth = {"dim": 64, "num_layers": 1, "num_heads": 4, "ffn_dim": 128}
            declared["lm"] = {"dim": 192, "ffn_dim": 512, "depth": depth}
        path = Path(name) / f"{kind}.yaml"
        path.write_text(yaml.safe_dump(declared))
        return run(path, overrides, steps, batches, device)


def measure(kind: str, recipe: Any, steps: int, device: torch.device = CPU) -> TrainingReport:
    """Measure ``steps`` steps of a recipe; see :func:`run`."""
    load = os.getloadavg()[0]
    config: TrainingConfig = recipe.training
    objective = OBJECTIVES[kind][1](recipe).to(device)
    ema = EMA(objective.model, config.ema_decay)
    ema.place(objective.model, device)
    optimizers = {
        phase: build_optimizers(config.optimizer, objective.trained(phase))
        for phase in objective.phases
    }
    objective.train()
    objective.place_data(device)
    watch = Stopwatch(device)
    # As at the end of the run, when every phase has begun.
    first = config.steps

    def take(batch: dict[str, Tensor], step: int) -> None:
        _step(objective, batch, step, config, optimizers, watch)
        with watch.region("EMA"):
            ema.update(objective.model, step)

    def made(step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            return {name: value.to(device) for name, value in objective.batch(step).items()}

    with FlopCounterMode(display=False, custom_mapping=_ONEDNN_FLOPS) as counter:
        take(made(first), first)
    flops = counter.get_total_flops()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if config.compile:
        compile_networks(objective)
    with prefetched(made, first, first + WARMUP + steps) as batches:
        for number, batch in enumerate(batches):
            if number == WARMUP:
                started = _seconds(device)
            take(batch, first + number)
        step_seconds = (_seconds(device) - started) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) / 2**20
    undo = _watch_parts(objective, watch)
    watch.seconds.clear()
    for step in range(first, first + steps):
        with watch.region("data"):
            batch = made(step)
        take(batch, step)
    undo()
    amount, unit = objective.batch_amount(batch)
    order = sorted(watch.seconds.items(), key=lambda item: -item[1])
    return TrainingReport(
        kind=kind,
        device="cpu" if device.type == "cpu" else torch.cuda.get_device_name(device),
        compiled=config.compile,
        steps=steps,
        threads=torch.get_num_threads(),
        load=load,
        parts=[StepPart(name, 1000 * seconds / steps) for name, seconds in order],
        step_seconds=step_seconds,
        amount=amount,
        unit=unit,
        peak_mib=peak,
        flops=flops,
        product_flops=_product_flops(device, _dtype(config)),
    )


def _linear_flops(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * prod(x) * weight[0]


_ONEDNN_FLOPS: dict[Any, Any] = {}
if hasattr(torch.ops.mkldnn, "_linear_pointwise"):  # of speechlm.nn.onednn_linear
    _ONEDNN_FLOPS[torch.ops.mkldnn._linear_pointwise] = _linear_flops


def _seconds(device: torch.device) -> float:
    """A clock, when what was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _product_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second in a matrix product that is large for the device; the best of three."""
    size = 8192 if device.type == "cuda" else 1024
    x = torch.randn(size, size, device=device).to(dtype)
    seconds = []
    for _ in range(4):
        started = _seconds(device)
        x @ x
        seconds.append(_seconds(device) - started)
    return 2 * size**3 / min(seconds[1:])


def _dtype(config: TrainingConfig) -> torch.dtype:
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return kinds.get(config.precision, torch.float32)


def _step(
    objective: Objective,
    batch: dict[str, Tensor],
    step: int,
    config: TrainingConfig,
    optimizers: dict[str, list[torch.optim.Optimizer]],
    watch: Stopwatch,
) -> None:
    [batch] = objective.micro_batches(batch, 1)
    dtype = _dtype(config)
    autocast = torch.autocast(watch.device.type, dtype, enabled=dtype != torch.float32)
    for phase in objective.phases:
        if not objective.active(phase, step):
            continue
        prefix = f"{phase}: " if len(objective.phases) > 1 else ""
        torch.manual_seed(step)
        with watch.region(f"{prefix}other forward"), autocast:
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


def _watch_parts(objective: Objective, watch: Stopwatch) -> Callable[[], None]:
    """The children of the model, and of the objective, which are its losses, are parts.

    Returns:
        What ends the measurement.
    """
    losses: dict[str, nn.Module] = {}
    for name, part in objective.named_children():
        if isinstance(part, nn.ModuleDict):  # of losses by name
            losses |= part.items()
        elif part is not objective.model:
            losses[name] = part
    parts: dict[str, nn.Module] = dict(objective.model.named_children())
    parts |= {f"loss: {name}": part for name, part in losses.items()}
    undo = [
        watch.watch(part, method, name)
        for name, part in parts.items()
        for method in ("forward", "step")
    ]
    if isinstance(objective.model, UnitLM):  # which does more than call its children
        undo.append(watch.watch(objective.model, "embed", "embedding"))
        undo.append(watch.watch(objective.model, "loss", "loss: likelihood"))

    def end() -> None:
        for one in undo:
            one()

    return end


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
