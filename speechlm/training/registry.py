"""Recipes: a YAML whose ``kind`` says what is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechlm.config import load_yaml, rename_keys, to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.training.aligner import AlignerObjective, AlignerRecipe
from speechlm.training.codec import CodecObjective, CodecRecipe
from speechlm.training.ctc_fsq import CtcFsqObjective, CtcFsqRecipe
from speechlm.training.entropy_model import EntropyModelObjective, EntropyModelRecipe
from speechlm.training.lm import LMObjective, LMRecipe
from speechlm.training.objective import Objective
from speechlm.training.stacked import StackedRecipe, stack
from speechlm.training.trainer import train
from speechlm.training.units import UnitsRecipe, train_units
from speechlm.training.vocoder import VocoderObjective, VocoderRecipe
from speechlm.training.vq_apc import VqApcObjective, VqApcRecipe

OBJECTIVES: dict[str, tuple[type[Any], Callable[[Any], Objective]]] = {
    "aligner": (AlignerRecipe, AlignerObjective),
    "codec": (CodecRecipe, CodecObjective),
    "ctc-fsq": (CtcFsqRecipe, CtcFsqObjective),
    "entropy-model": (EntropyModelRecipe, EntropyModelObjective),
    "lm": (LMRecipe, LMObjective),
    "vocoder": (VocoderRecipe, VocoderObjective),
    "vq-apc": (VqApcRecipe, VqApcObjective),
}
"""What is trained in steps."""

BUILDERS: dict[str, tuple[type[Any], Callable[[Any], Path]]] = {
    "stacked": (StackedRecipe, stack),
    "units": (UnitsRecipe, train_units),
}
"""What is not."""

KINDS = sorted([*OBJECTIVES, *BUILDERS])

RENAMED_KINDS = {"kind=context": "kind=entropy-model"}


def train_recipe(path: Path, overrides: list[str]) -> Path:
    """Train what the recipe ``path`` says, with dotted ``overrides``; return the model folder.

    Raises:
        SpeechLMError: for a bad recipe, missing data, or a run that cannot go on.
    """
    kind, recipe = load_recipe(path, overrides)
    if kind in BUILDERS:
        return BUILDERS[kind][1](recipe)
    return train(recipe.training, OBJECTIVES[kind][1](recipe))


def load_recipe(path: Path, overrides: list[str]) -> tuple[str, Any]:
    """The kind of the recipe ``path``, and the recipe itself, with dotted ``overrides``.

    Raises:
        SpeechLMError: for a bad one.
    """
    declared = rename_keys(load_yaml(path, overrides), RENAMED_KINDS, path)
    kind = declared.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpeechLMError(f"{path}: kind is one of {', '.join(KINDS)}, not {kind}")
    schema = (OBJECTIVES | BUILDERS)[kind][0]
    return kind, to_dataclass(schema, declared, path)
