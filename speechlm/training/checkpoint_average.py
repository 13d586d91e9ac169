"""Averaging the weights of trained models: "model soups" (Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.utils.files import copy


def average_checkpoints(models: Sequence[str], weights: Sequence[float], out: Path) -> Path:
    """Write the model folder ``out``: the weighted mean of ``models``.

    The mean of models that were fine-tuned from the same one is often better than each of them.

    Args:
        models: folders, names of shipped models, or hub ids; alike in everything but weights.
        weights: one for each model, normalised to a sum of 1.

    Raises:
        SpeechLMError: when the models differ in more than their weights, or ``weights`` do not fit.
    """
    if len(weights) != len(models) or min(weights, default=0) < 0 or not sum(weights) > 0:
        raise SpeechLMError(
            f"--weight: {len(models)} models need as many, of 0 or more, and one above 0"
        )
    folders = [hub.find_model(model) for model in models]
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise SpeechLMError(f"{out}: is one of the models: name another folder")
    first = folders[0]
    files = [file for file in hub.parts(first) if file.name != "README.md"]
    mean: dict[str, torch.Tensor] = {}
    for folder, weight in zip(folders, weights, strict=True):
        for file in files:
            other = folder / file
            if not other.is_file() or other.read_bytes() != (first / file).read_bytes():
                raise SpeechLMError(f"{other}: not as in {first}: only weights can be averaged")
        tensors = hub.load_weights(folder)
        if mean and _shapes(tensors) != _shapes(mean):
            raise SpeechLMError(f"{folder}: has other weights than {first}")
        for name, value in tensors.items():
            if value.is_floating_point():
                term = value.double() * (weight / sum(weights))
                mean[name] = mean[name] + term if name in mean else term
            else:
                mean.setdefault(name, value)
    for file in files:
        copy(first / file, out / file)
    hub.save_weights(out, mean)
    return out


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in tensors.items()}
