"""Recipes: a YAML whose ``kind`` says what is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechlm import declaration
from speechlm.errors import SpeechLMError
from speechlm.training.codec import CodecObjective, CodecRecipe
from speechlm.training.context import ContextObjective, ContextRecipe
from speechlm.training.lm import LMObjective, LMRecipe
from speechlm.training.loop import train
from speechlm.training.objective import Objective

KINDS: dict[str, tuple[type[Any], Callable[[Any], Objective]]] = {
    "codec": (CodecRecipe, CodecObjective),
    "context": (ContextRecipe, ContextObjective),
    "lm": (LMRecipe, LMObjective),
}


def run(path: Path, overrides: list[str]) -> Path:
    """Train what the recipe ``path`` says, with dotted ``overrides``; return the model folder.

    Raises:
        SpeechLMError: for a bad recipe, missing data, or a run that cannot go on.
    """
    declared = declaration.read(path, overrides)
    kind = declared.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpeechLMError(f"{path}: kind is one of {', '.join(KINDS)}, not {kind}")
    schema, objective = KINDS[kind]
    recipe = declaration.fill(schema, declared, path)
    return train(recipe.training, objective(recipe))
