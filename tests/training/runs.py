"""Short training runs, some of which are killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from speechlm.codec.config import CodecConfig, QuantizerConfig, SeanetConfig, SpectralConfig
from speechlm.training import checkpoint, trainer
from speechlm.training.adversarial import AdversarialConfig
from speechlm.training.checkpoint import load_checkpoint
from speechlm.training.codec import (
    CodecDataConfig,
    CodecLossConfig,
    CodecObjective,
    CodecRecipe,
)
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.discriminators import DiscriminatorConfig
from speechlm.training.metrics_logger import MetricsLogger
from speechlm.training.quantization import QuantizationConfig
from speechlm.training.trainer import train
from speechlm.utils import files

STEPS, KEEP = 10, 4
"""Length of a run, and steps between its checkpoints."""

CODECS = {
    "vectors": CodecConfig(
        name="toy",
        hop_length=160,
        latent=4,
        spectral=SpectralConfig(8, 1, 8, 1),
        quantizer=QuantizerConfig(num_codebooks=2, codebook_size=8),
    ),
    "scalars": CodecConfig(
        name="toy",
        hop_length=160,
        latent=4,
        spectral=SpectralConfig(8, 1, 8, 1),
        quantizer=QuantizerConfig(kind="scalar", grid=[4, 4]),
    ),
    "adversarial": CodecConfig(
        name="toy",
        hop_length=160,
        latent=4,
        architecture="seanet",
        seanet=SeanetConfig(2, [4, 5, 8], [1], 3),
        quantizer=QuantizerConfig(
            num_codebooks=2, codebook_size=8, update="gradient", codebook_dim=2
        ),
    ),
}


def recipe(corpus: Path, out: Path, kind: str = "vectors", **training: Any) -> CodecRecipe:
    """A run of ten steps, whose adversarial phase, if any, begins in the middle."""
    adversarial = kind == "adversarial"
    settings = {
        "steps": STEPS,
        "log_every": 2,
        "validate_every": 5,
        "checkpoint_every": KEEP,
        "optimizer": OptimizerConfig(kind="muon" if adversarial else "adamw", warmup=3),
    }
    return CodecRecipe(
        codec=CODECS[kind],
        data=CodecDataConfig([str(corpus)], seconds=0.1, batch=2, validation=3),
        quantization=QuantizationConfig(quantizer_bypass_steps=2),
        loss=CodecLossConfig(commitment_warmup_steps=6),
        adversarial=AdversarialConfig(
            start=5 if adversarial else None,
            discriminators=DiscriminatorConfig(stft_windows=[64], stft_channels=2),
        ),
        training=TrainingConfig(out=str(out), **(settings | training)),
    )


def run(made: CodecRecipe) -> Path:
    return train(made.training, CodecObjective(made))


def log(out: Path) -> list[dict[str, float]]:
    """The log but for what depends on the time that a step took."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    times = {"seconds", "data_seconds", "audio_s_per_second", "columns_per_second"}
    return [{key: line[key] for key in line if key not in times} for line in lines]


def assert_same_run(out: Path, other: Path) -> None:
    """Same weights, averages, optimizers, model and log, to the bit."""
    assert_same(load_checkpoint(out / "checkpoint.pt"), load_checkpoint(other / "checkpoint.pt"))
    assert log(out) == log(other)
    bests = [load_checkpoint(folder / "checkpoint-best.pt") for folder in (out, other)]
    for content in bests:  # validated in a step without a line in the log, it has times in it
        content["metrics"] = sorted(content["metrics"]["counts"].items())
    assert_same(*bests)
    models = [folder / "model" / "model.safetensors" for folder in (out, other)]
    assert models[0].read_bytes() == models[1].read_bytes()


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, yours in zip(one, other, strict=True):
            assert_same(mine, yours)
    else:
        assert one == other


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str, when: Callable[..., bool]) -> None:
    """Kill the process before the call of ``owner.name`` whose arguments fit."""
    real = getattr(owner, name)

    def deadly(*args: Any, **keywords: Any) -> Any:
        if when(*args):
            die()
        return real(*args, **keywords)

    setattr(owner, name, deadly)


def _counted(number: int) -> Callable[..., bool]:
    """Whether this is the call of that number."""
    calls = iter(range(1, 1000))
    return lambda *args: next(calls) == number


def in_the_first_step() -> None:
    _before(CodecObjective, "batch", lambda objective, step: step == 0)


def between_checkpoints() -> None:
    _before(CodecObjective, "batch", lambda objective, step: step == 6)


def with_the_weights_updated() -> None:
    _before(trainer, "learning_rate", lambda config, step, steps: step == 7)
    _before(trainer.EMA, "update", lambda average, model, step: step == 6)


def with_half_a_line_logged() -> None:
    real = MetricsLogger.write

    def write(journal: MetricsLogger, step: int, kind: str, values: dict[str, float]) -> None:
        real(journal, step, kind, values)
        if step == 6:
            text = journal.path.read_text()
            journal.path.write_text(text[:-20])
            die()

    MetricsLogger.write = write  # type: ignore[method-assign]


def with_a_checkpoint_half_written() -> None:
    calls = _counted(2)

    def save(content: Any, path: Path) -> None:
        whole = BytesIO()
        torch.save(content, whole)
        data = whole.getvalue()
        if not calls():
            path.write_bytes(data)
            return
        path.write_bytes(data[: len(data) // 2])
        die()

    class Torch:
        load = torch.load

    Torch.save = save  # type: ignore[attr-defined]
    checkpoint.torch = Torch  # type: ignore[attr-defined]


def with_a_checkpoint_not_renamed() -> None:
    calls = _counted(2)
    _before(files.os, "replace", lambda source, to: Path(to).suffix == ".pt" and calls())


def with_a_checkpoint_just_renamed() -> None:
    _before(CodecObjective, "batch", lambda objective, step: step == 2 * KEEP)


def with_a_model_half_exported() -> None:
    calls = _counted(2)
    _before(files.os, "replace", lambda source, to: Path(to).suffix == ".safetensors" and calls())


MOMENTS: tuple[Callable[[], None], ...] = (
    in_the_first_step,
    between_checkpoints,
    with_the_weights_updated,
    with_half_a_line_logged,
    with_a_checkpoint_half_written,
    with_a_checkpoint_not_renamed,
    with_a_checkpoint_just_renamed,
    with_a_model_half_exported,
)

# The server imports what a run needs once and forks a process for each: cheap to start, and single
# threaded as a fork must be.
FORKS = multiprocessing.get_context("forkserver")


def start(made: CodecRecipe, moment: Callable[[], None] | None = None) -> Any:
    """A process that trains, and kills itself at ``moment``."""
    FORKS.set_forkserver_preload([__name__, "lhotse", "torch._dynamo"])
    process = FORKS.Process(target=_train, args=(made, moment))
    process.start()
    return process


def _train(made: CodecRecipe, moment: Callable[[], None] | None) -> None:
    if moment is not None:
        moment()
    run(made)
