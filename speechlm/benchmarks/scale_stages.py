"""The stages of :mod:`speechlm.benchmarks.scale`, as its processes do them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Barrier
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import torch

from speechlm.codec import load
from speechlm.codec.config import CodecConfig
from speechlm.data import prepare as preparing
from speechlm.data import tokenize as tokenizing
from speechlm.data.batches.task_mixture import MixtureConfig, TaskConfig
from speechlm.lm.config import DepthConfig, LMConfig
from speechlm.tokenizers.text import TextTokenizer
from speechlm.training.codec import CodecDataConfig, CodecObjective, CodecRecipe
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.lm import LMObjective, LMRecipe
from speechlm.training.objective import Objective
from speechlm.training.trainer import train

if TYPE_CHECKING:
    from lhotse import CutSet

STAGES = "prepare", "tokenize", "codec step", "lm step"
STEPS = 8
Measured = tuple[float, float, float]
"""Hours of speech, seconds, and seconds of the processor."""


def make_source(cuts: CutSet, seconds: float, folder: Path) -> None:
    """A folder of recordings, links to those of ``cuts`` over and over, of so many seconds."""
    folder.mkdir()
    for number, cut in enumerate(itertools.cycle(cuts)):
        if seconds <= 0:
            return
        path = Path(cut.recording.sources[0].source)
        (folder / f"{number:06d}{path.suffix}").symlink_to(path)
        seconds -= cut.duration


def work(
    rank: int, count: int, port: int, together: Barrier, folder: Path, model: str | None
) -> dict[str, Measured]:
    """All stages, as process ``rank`` of ``count``, which begin each of them together."""
    torch.set_num_threads(1)
    os.environ |= {"ACCELERATE_USE_CPU": "true"}
    if count > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
        os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": f"{count}"}
    codec = load(model)
    codec.encode(torch.zeros(1, codec.sample_rate))
    own, first = folder / f"job {rank}", folder / "job 0"
    own.mkdir()
    done: dict[str, Callable[[], Measured]] = {
        "prepare": lambda: _clocked(lambda: _prepare(folder / "source", own)),
        "tokenize": lambda: _clocked(lambda: _tokenize(own, model)),
        "codec step": lambda: _codec_step(first, folder / "codec", count),
        "lm step": lambda: _lm_step(first, folder / "lm", count, own),
    }
    found = {}
    for stage in STAGES:
        together.wait()
        found[stage] = done[stage]()
    return found


def _clocked(job: Callable[[], float]) -> Measured:
    begun, worked = perf_counter(), process_time()
    hours = job()
    return hours, perf_counter() - begun, process_time() - worked


def _prepare(source: Path, out: Path) -> float:
    declared = out / "corpus.yaml"
    declared.write_text("kind: folder\nname: corpus\nsplit: {by: utterance, dev: 0.1, test: 0}\n")
    found = preparing.prepare(declared, [f"path={source}", f"output={out / 'corpus'}"])
    return sum(found.minutes.values()) / 60


def _tokenize(out: Path, model: str | None) -> float:
    return tokenizing.tokenize(out / "corpus", out / "tokens", model).seconds / 3600


def _codec_step(made: Path, out: Path, count: int) -> Measured:
    """The default codec, on batches of 24 seconds."""
    data = CodecDataConfig([str(made / "corpus")], batch=24, seconds=1.0, validation=1)
    recipe = CodecRecipe(codec=CodecConfig(name="bench"), data=data, training=_training(out))
    recipe.quantization.quantizer_bypass_steps = 0
    hours = data.batch * data.seconds / 3600
    return hours / count, *_step(recipe.training, CodecObjective(recipe))


def _lm_step(made: Path, out: Path, count: int, own: Path) -> Measured:
    """A language model of the default's size, on 8 rows of 512 columns, nearly all frames."""
    TextTokenizer.train(["no text is trained on"]).save(own / "text.model")
    config = LMConfig(name="bench", dim=256, num_layers=6, num_heads=4, num_kv_heads=2, ffn_dim=704)
    config.depth = DepthConfig(dim=192, num_layers=2, num_heads=4, ffn_dim=384)
    tasks: dict[str, TaskConfig | None] = {"speech": TaskConfig()}
    data = MixtureConfig([str(made / "tokens")], 4, str(own / "text.model"), tasks, validation=1)
    recipe = LMRecipe(lm=config, data=data, training=_training(out))
    objective = LMObjective(recipe)
    columns = [int((objective.data.batches(step).segments >= 0).sum()) for step in range(STEPS)]
    hours = sum(columns) / STEPS / objective.rate / 3600
    return hours / count, *_step(recipe.training, objective)


def _training(out: Path) -> TrainingConfig:
    return TrainingConfig(
        out=str(out),
        steps=STEPS,
        validate_every=STEPS,
        checkpoint_every=STEPS,
        precision="bf16",
        optimizer=OptimizerConfig(kind="muon", warmup=1),
    )


def _step(config: TrainingConfig, objective: Objective) -> tuple[float, float]:
    """Seconds from step to step, and of this processor; the last one validates, and is left out."""
    times = []
    real = objective.batch

    def batch(step: int) -> dict[str, torch.Tensor]:
        times.append((perf_counter(), process_time()))
        return real(step)

    objective.batch = batch  # type: ignore[method-assign]
    train(config, objective)
    # The first steps start codebooks and allocate.
    later = times[STEPS // 4 :]
    steps = [(b - a, d - c) for (a, c), (b, d) in itertools.pairwise(later)]
    return median(wall for wall, _ in steps), median(own for _, own in steps)
