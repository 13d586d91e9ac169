"""The mean of trained models: "model soups" (Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.utils.files import copy


def mean(models: Sequence[str], shares: Sequence[float], out: Path) -> Path:
    """Write the model folder ``out``: the mean of ``models`` (folders, shipped names or hub ids).

    Of models that were trained from the same one, it is often better than each. ``shares`` says
    how much each counts. Everything but the weights is the same in all of them.

    Raises:
        SpeechLMError: when the models differ in more than their weights, or the shares are none.
    """
    if len(shares) != len(models) or min(shares, default=0) < 0 or not sum(shares) > 0:
        raise SpeechLMError(f"{len(models)} models need as many shares of 0 or more, and one above")
    folders = [hub.find_model(model) for model in models]
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise SpeechLMError(f"{out}: is one of the models")
    first = folders[0]
    others = [file for file in hub.parts(first) if file.name != "README.md"]
    total: dict[str, torch.Tensor] = {}
    for folder, share in zip(folders, shares, strict=True):
        for file in others:
            theirs = folder / file
            if not theirs.is_file() or theirs.read_bytes() != (first / file).read_bytes():
                raise SpeechLMError(f"{theirs}: not as in {first}: only weights can be averaged")
        weights = hub.load_weights(folder)
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        if total and shapes != {name: tuple(value.shape) for name, value in total.items()}:
            raise SpeechLMError(f"{folder}: has other weights than {first}")
        for name, value in weights.items():
            if value.is_floating_point():
                part = value.double() * (share / sum(shares))
                total[name] = total[name] + part if name in total else part
            else:
                total.setdefault(name, value)
    for file in others:
        copy(first / file, out / file)
    hub.save_weights(out, total)
    return out
