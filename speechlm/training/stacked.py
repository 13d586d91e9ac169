"""Stacked units: put together of what others have trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.load import embed
from speechlm.tokenizers.stacked import StackedConfig, load


@dataclass
class StackedTrainingConfig:
    """Where."""

    out: str = "runs/${name}"


@dataclass
class StackedRecipe:
    """The recipe of a tokenizer with the units of ``semantic``, a model folder, as its level 0."""

    kind: str = "stacked"
    name: str = "stacked"
    semantic: str | None = None
    units: StackedConfig = field(default_factory=StackedConfig)
    training: StackedTrainingConfig = field(default_factory=StackedTrainingConfig)


def stack(recipe: StackedRecipe) -> Path:
    """Write the model folder, and return it.

    Raises:
        SpeechLMError: when a part is not there, or they do not go together.
    """
    if recipe.semantic is None:
        raise SpeechLMError("semantic= takes the folder of a tokenizer, as units-whisper's")
    with TemporaryDirectory() as trial:  # a model that is there stays if this is none
        load(_write(recipe.units, recipe.semantic, Path(trial)))
    return _write(recipe.units, recipe.semantic, Path(recipe.training.out) / "model")


def _write(config: StackedConfig, semantic: str, folder: Path) -> Path:
    hub.save_model(folder, config, {})
    embed(semantic, folder)
    return folder
