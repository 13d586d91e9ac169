"""A step in parts, or on weights in parts, is the step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from speechlm.errors import SpeechLMError
from speechlm.quantize import ResidualQuantizer
from speechlm.training import registry
from speechlm.training.checkpoint import load_checkpoint
from speechlm.training.lm import LMObjective
from speechlm.utils import distributed
from tests.lm.corpora import text_model, tokenized

from .runs import log, recipe, run
from .test_processes import finish, launch, losses

RECIPE = Path(__file__).parents[2] / "recipes" / "lm-smoke.yaml"

WORKER = """
import os
import sys
import torch
from pathlib import Path
torch.set_num_threads(1)
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from speechlm.errors import SpeechLMError
from speechlm.training import registry
from tests.training.test_micro_batches import FSDP, stopped

path, *settings = map(str, sys.argv[1:])
out = [each for each in settings if each.startswith("training.out=")][0]
try:
    registry.train_recipe(Path(path), [*settings, out + "/plain"])
    # accelerate takes no CPUs for FSDP, which runs on them.
    AcceleratorState._reset_state()
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    os.environ.update(FSDP)
    for step in (4, 6):
        with stopped(step):
            registry.train_recipe(Path(path), [*settings, out + "/sharded"])
except SpeechLMError as error:
    sys.exit(f"error: {error}")
"""

CONFIG = yaml.safe_load((RECIPE.parent / "accelerate" / "fsdp.yaml").read_text())["fsdp_config"]
FSDP = {"ACCELERATE_USE_FSDP": "true"} | {
    name.upper(): str(value).lower() if isinstance(value, bool) else str(value)
    for name, value in CONFIG.items()
}
"""What ``accelerate launch`` with that file puts into the environment."""


@contextmanager
def stopped(at: int) -> Iterator[None]:
    """A run is interrupted before this step."""
    real = LMObjective.batch

    def batch(objective: LMObjective, step: int) -> dict[str, torch.Tensor]:
        if step == at:
            raise KeyboardInterrupt
        return real(objective, step)

    LMObjective.batch = batch  # type: ignore[method-assign]
    try:
        yield
    except SpeechLMError as error:
        if "interrupted" not in str(error):
            raise
    finally:
        LMObjective.batch = real  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    tokenized(folder / "toy", 240)
    text_model(folder)
    return folder


def settings(data: Path, out: Path, *more: str) -> list[str]:
    small = [
        "lm.dim=16",
        "lm.num_layers=2",
        "lm.ffn_dim=16",
        "lm.depth.dim=8",
        "lm.depth.ffn_dim=8",
    ]
    small += ["data.batch=4", "data.validation=2", "training.steps=8", "training.log_every=1"]
    small += ["training.checkpoint_every=2", "training.validate_every=4"]
    paths = [f"data.corpora=[{data / 'toy'}]", f"data.text={data / 'text.model'}"]
    return [*paths, *small, f"training.out={out}", *more]


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process in one part."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    registry.train_recipe(RECIPE, settings(data, out))
    return out


def assert_alike(one: Any, other: Any) -> None:
    """Nested containers of the same names, with the same numbers to rounding."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_alike(one[key], other[key])
    elif isinstance(one, list):
        for mine, yours in zip(one, other, strict=True):
            assert_alike(mine, yours)
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0.05)


def assert_same_training(out: Path, whole: Path) -> None:
    torch.testing.assert_close(losses(out), losses(whole), atol=0, rtol=5e-4)
    mine, expected = (
        [line["loss"] for line in log(each) if line["kind"] == "valid"] for each in (out, whole)
    )
    assert mine == pytest.approx(expected, rel=5e-4)
    assert len(mine) == 2
    assert_alike(*(load_checkpoint(each / "checkpoint.pt") for each in (out, whole)))


def test_a_language_model_in_parts(data: Path, whole: Path, tmp_path: Path) -> None:
    registry.train_recipe(
        RECIPE, settings(data, tmp_path, "training.gradient_accumulation_steps=2")
    )
    assert_same_training(tmp_path, whole)


def test_processes(data: Path, whole: Path, tmp_path: Path) -> None:
    """Parts in two processes; and FSDP there, stopped and resumed, from and to a run without."""
    with stopped(2):
        registry.train_recipe(RECIPE, settings(data, tmp_path / "sharded"))
    made = settings(data, tmp_path, "training.gradient_accumulation_steps=2")
    finish(launch(2, RECIPE, *made, worker=WORKER))
    registry.train_recipe(RECIPE, settings(data, tmp_path / "sharded"))
    for kind in ("plain", "sharded"):
        assert_same_training(tmp_path / kind, whole)


def test_codebooks_follow_a_batch_at_a_time() -> None:
    """From the same start, in parts or not, to the same entries; the start is one level a step."""
    random = torch.Generator().manual_seed(0)
    batches = [torch.randn(6, 4, 20, generator=random) for _ in range(5)]
    found = []
    for count in (1, 3):
        torch.manual_seed(0)
        made = ResidualQuantizer(4, num_codebooks=3, codebook_size=8).train()
        for step, batch in enumerate(batches):
            for index in range(count):
                torch.manual_seed(step)
                with distributed.micro_batch(index, count):
                    made(batch[2 * index : 2 * index + 2] if count == 3 else batch)
            assert [bool(stage.initialized) for stage in made.stages].count(True) == min(
                step + 1, 3
            )
        found.append(made)
    # Begin again from the codebooks of one.
    one, parts = found
    parts.load_state_dict(one.state_dict())
    for step, batch in enumerate(batches):
        torch.manual_seed(step)
        one(batch)
        for index in range(3):
            torch.manual_seed(step)
            with distributed.micro_batch(index, 3):
                parts(batch[2 * index : 2 * index + 2])
        for name, value in one.state_dict().items():
            torch.testing.assert_close(parts.state_dict()[name], value)


@pytest.mark.parametrize("kind", ["vectors", "scalars", "adversarial"])
def test_a_codec_in_parts(kind: str, corpus: Path, tmp_path: Path) -> None:
    """To rounding; codebooks start from the first part, and ratios are those of a part."""
    curves = []
    for count in (1, 2):
        made = recipe(
            corpus, tmp_path / str(count), kind, gradient_accumulation_steps=count, log_every=1
        )
        run(made)
        curves.append(losses(tmp_path / str(count)))
    one, parts = curves
    # A draw that depends on the parts would show at the first quantized step of scalars; rounding
    # to another point of the grid comes later.
    bypass = made.quantization.quantizer_bypass_steps
    exact = bypass + 3 if kind == "scalars" else bypass
    torch.testing.assert_close(parts[:exact], one[:exact], atol=0, rtol=1e-4)
    torch.testing.assert_close(parts, one, atol=0, rtol=0.2)


def test_what_cannot_be_done_is_one_line(
    data: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpeechLMError, match="4 rows of a batch cannot be split evenly into 3"):
        registry.train_recipe(
            RECIPE, settings(data, tmp_path, "training.gradient_accumulation_steps=3")
        )
    with pytest.raises(SpeechLMError, match=r"training.gradient_accumulation_steps: 1 or more"):
        registry.train_recipe(
            RECIPE, settings(data, tmp_path, "training.gradient_accumulation_steps=0")
        )
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(SpeechLMError, match="FSDP: for language models"):
        run(recipe(corpus, tmp_path / "codec"))
