"""Stacked units: put together of what others have trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.units.load import embed
from speechlm.units.stacked import StackedConfig, load


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
    folder = hub.save_model(Path(recipe.training.out) / "model", recipe.units, {})
    embed(recipe.semantic, folder)
    load(folder)
    return folder
