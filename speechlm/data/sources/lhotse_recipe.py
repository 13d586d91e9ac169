"""Any corpus that Lhotse has a recipe for, by the recipe's name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speechlm.data.config import LhotseConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.splits import named_split
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError

if TYPE_CHECKING:
    from lhotse.cut import Cut


def source(config: LhotseConfig) -> CorpusSource:
    """Run ``lhotse.recipes.prepare_RECIPE`` and take each supervision as an utterance.

    Parts named after a split (``dev-clean``) are that split.
    """
    import lhotse

    prepare = _recipe("prepare", config.recipe)
    download = _recipe("download", config.recipe) if config.download else None
    known = {key for recipe in (prepare, download) if recipe for key in _parameters(recipe)}
    for key in set(config.options) - known:
        options = ", ".join(sorted(known))
        raise SpeechLMError(f"Lhotse recipe {config.recipe} has no option {key}; known: {options}")
    folder = Path(config.path)
    if download is None and not folder.is_dir():
        raise SpeechLMError(f"{folder}: no such folder; give path= of the corpus, or download=true")
    try:
        if download is not None:
            folder.mkdir(parents=True, exist_ok=True)
            folder = Path(_call(download, folder, config.options))
        manifests = _call(prepare, folder, config.options)
    except (AssertionError, LookupError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SpeechLMError(f"{config.name}: Lhotse recipe {config.recipe}: {reason}") from None
    parts = {"": manifests} if "recordings" in manifests else manifests
    utterances: list[Utterance] = []
    for part, manifest in parts.items():
        if "supervisions" not in manifest:
            raise SpeechLMError(f"{config.name}: Lhotse recipe {config.recipe} has no supervisions")
        cuts = lhotse.CutSet.from_manifests(
            recordings=manifest["recordings"], supervisions=manifest["supervisions"]
        )
        utterances += _utterances(cuts.trim_to_supervisions(keep_overlapping=False), part, config)
    return CorpusSource(utterances, {"lhotse": lhotse.__version__})


def _recipe(verb: str, name: str) -> Callable[..., Any]:
    from lhotse import recipes

    function = getattr(recipes, f"{verb}_{name}", None)
    if function is None:
        known = [n.removeprefix(f"{verb}_") for n in dir(recipes) if n.startswith(f"{verb}_")]
        near = difflib.get_close_matches(name, known, n=3) or known[:3]
        raise SpeechLMError(f"Lhotse has no {verb}_{name}; near: {', '.join(near)}")
    return function


def _parameters(recipe: Callable[..., Any]) -> list[str]:
    """Name a recipe's parameters after the first, which is the corpus's folder."""
    return list(inspect.signature(recipe).parameters)[1:]


def _call(recipe: Callable[..., Any], folder: Path, options: dict[str, Any]) -> Any:
    """Call a recipe on a folder with those options that it knows."""
    known = _parameters(recipe)
    return recipe(folder, **{key: value for key, value in options.items() if key in known})


def _utterances(cuts: Any, part: str, config: LhotseConfig) -> Iterator[Utterance]:
    for cut in cuts:
        (supervision,) = cut.supervisions
        yield Utterance(
            id=supervision.id.replace("/", "-"),
            load=partial(_load, cut),
            speaker=supervision.speaker or cut.recording.id,
            language=config.language or supervision.language,
            text=supervision.text,
            split=named_split(str(part)),
        )


def _load(cut: Cut) -> tuple[np.ndarray, int]:
    try:
        wave = cut.load_audio()
    except Exception as error:  # Lhotse's audio backends raise classes of their own
        raise SpeechLMError(f"{cut.id}: {' '.join(str(error).split())}") from None
    return np.atleast_2d(wave).mean(axis=0).astype(np.float32), cut.sampling_rate
