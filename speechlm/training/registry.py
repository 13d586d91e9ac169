"""Recipes: a YAML whose ``kind`` says what is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechlm.config import load_yaml, rename_keys, to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.training.aligner import AlignerObjective, AlignerRecipe
from speechlm.training.codec import CodecObjective, CodecRecipe
from speechlm.training.entropy_model import EntropyModelObjective, EntropyModelRecipe
from speechlm.training.lm import LMObjective, LMRecipe
from speechlm.training.objective import Objective
from speechlm.training.stacked import StackedRecipe, stack
from speechlm.training.trainer import train
from speechlm.training.units import UnitsRecipe, train_units
from speechlm.training.vocoder import VocoderObjective, VocoderRecipe
from speechlm.training.vq_apc import VqApcObjective, VqApcRecipe


def _trainer(objective: Callable[[Any], Objective]) -> Callable[[Any], Path]:
    """A function that trains the objective of a recipe."""
    return lambda recipe: train(recipe.training, objective(recipe))


OBJECTIVES: dict[str, tuple[type[Any], Callable[[Any], Path]]] = {
    "aligner": (AlignerRecipe, _trainer(AlignerObjective)),
    "codec": (CodecRecipe, _trainer(CodecObjective)),
    "entropy-model": (EntropyModelRecipe, _trainer(EntropyModelObjective)),
    "lm": (LMRecipe, _trainer(LMObjective)),
    "stacked": (StackedRecipe, stack),
    "units": (UnitsRecipe, train_units),
    "vocoder": (VocoderRecipe, _trainer(VocoderObjective)),
    "vq-apc": (VqApcRecipe, _trainer(VqApcObjective)),
}

RENAMED_KINDS = {"kind=context": "kind=entropy-model"}


def train_recipe(path: Path, overrides: list[str]) -> Path:
    """Train what the recipe ``path`` says, with dotted ``overrides``; return the model folder.

    Raises:
        SpeechLMError: for a bad recipe, missing data, or a run that cannot go on.
    """
    declared = rename_keys(load_yaml(path, overrides), RENAMED_KINDS, path)
    kind = declared.get("kind")
    if not isinstance(kind, str) or kind not in OBJECTIVES:
        raise SpeechLMError(f"{path}: kind is one of {', '.join(OBJECTIVES)}, not {kind}")
    schema, train_kind = OBJECTIVES[kind]
    return train_kind(to_dataclass(schema, declared, path))
