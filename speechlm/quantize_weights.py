"""Models of half the size: matrices in eight bits, see :mod:`speechlm.utils.int8`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechlm import hub
from speechlm.codec import NeuralCodec
from speechlm.config import load_yaml
from speechlm.errors import SpeechLMError
from speechlm.utils import int8
from speechlm.utils.files import copy


@dataclass(frozen=True)
class Size:
    """Bytes of a file of a model folder; ``after`` is None when it was left out."""

    before: int
    after: int | None


def quantize_weights(model: str, out: Path, encoder: bool = False) -> dict[str, Size]:
    """Write the model folder ``out``: ``model``, smaller; all else in its folder is copied.

    Codes and units stay what they are: a codec's encoder and quantizer stay in half precision, so
    its weights hash is the same, and all that was made with it or for it still fits.

    Args:
        model: of any kind, as for :func:`speechlm.hub.find_model`.
        encoder: shrink a codec's encoder too. It is then another codec, of another hash, whose
            entropy model has to be trained anew: it is left out.

    Returns:
        Sizes by file.

    Raises:
        SpeechLMError: when there is no such model, nothing of it can be smaller, or ``out`` holds a
            model already.
    """
    folder = hub.find_model(model)
    weights, facts = hub.load_weights(folder), hub.load_facts(folder)
    kept = _kept(folder, encoder)
    packed = {name for name in weights if not name.startswith(kept) and int8.pays(weights[name])}
    if not packed:
        raise SpeechLMError(f"{model}: has no weights that could be stored smaller")
    hub.new_folder(out)
    files = hub.parts(folder)
    for file in files:
        copy(folder / file, out / file)
    hub.save_weights(out, weights, facts, packed)
    if (folder / hub.CONTEXT).is_file():
        if (
            hub.load_entropy_model(folder, NeuralCodec.from_pretrained(out).weights_hash)
            is not None
        ):
            copy(folder / hub.CONTEXT, out / hub.CONTEXT)
        files.append(Path(hub.CONTEXT))
    return {str(file): _size(folder / file, out / file) for file in (Path(hub.WEIGHTS), *files)}


def _kept(folder: Path, encoder: bool) -> tuple[str, ...]:
    """Beginnings of the names of weights that codes or units hang on."""
    kind = load_yaml(folder / hub.CONFIG, []).get("kind")
    codec = kind is None and not (folder / hub.LANGUAGE[0]).is_file()
    if encoder and not codec:
        raise SpeechLMError(f"{folder}: no codec, whose encoder could be stored smaller")
    if codec:
        return ("quantizer.",) if encoder else ("quantizer.", "encoder.")
    return () if kind in (None, "vocoder") else ("",)


def _size(before: Path, after: Path) -> Size:
    return Size(before.stat().st_size, after.stat().st_size if after.is_file() else None)
