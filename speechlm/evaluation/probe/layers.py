"""Which layer of a deep teacher to make units of: each is clustered, all of the same features.

As Hsu et al. (2021) choose HuBERT's, by how much clusters tell of phones. The teacher hears every
utterance once, for all layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechlm.errors import SpeechLMError
from speechlm.evaluation import statistics
from speechlm.evaluation.probe.config import LayersConfig
from speechlm.evaluation.probe.metrics import ProbeResult
from speechlm.evaluation.probe.tokenizers import ProbedTokenizers
from speechlm.evaluation.statistics import Interval
from speechlm.tokenizers import features
from speechlm.tokenizers.kmeans import Clusters
from speechlm.training.units import Kept, UnitsTrainingConfig, cluster, draw
from speechlm.utils.processes import progress


@dataclass(frozen=True)
class LayerChoice:
    """The layer whose units tell most of the labels ``by``.

    ``behind`` is how much less each other one tells, of the same utterances.
    """

    name: str
    by: str
    behind: dict[str, Interval]

    @property
    def alike(self) -> list[str]:
        """Layers that cannot be told from it."""
        return [name for name, each in self.behind.items() if not each.excludes_zero]

    def __str__(self) -> str:
        others = f"; {', '.join(self.alike)} cannot be told from it" if self.alike else ""
        return f"{self.name} (*) tells most of {self.by}{others}"


def check(config: LayersConfig) -> None:
    """Raises: SpeechLMError, for settings that cannot be."""
    if not config.layers or len(set(config.layers)) < len(config.layers):
        raise SpeechLMError("layers.layers are different numbers, as [4,6,8]")
    if config.teacher.layer is not None:
        raise SpeechLMError("layers.teacher.layer is none: layers.layers has them")
    if config.clusters < 1:
        raise SpeechLMError(f"layers.clusters is 1 or more, not {config.clusters}")


def subject(config: LayersConfig) -> ProbedTokenizers:
    """Tokenizers ``layer N``, which are trained for it.

    Raises:
        SpeechLMError: when the teacher cannot be had or has no such layers, or there is too little
            speech.
    """
    teacher = features.build(config.teacher, config.layers)
    kept = Kept(Path(config.out), teacher, draw(config.data, config.seed))
    parts = np.split(np.arange(teacher.dim), len(config.layers))
    nearest = []
    with progress("clustering", len(parts)) as advance:
        for number, part in zip(config.layers, parts, strict=True):
            # Copies: a view would keep all layers of all utterances in memory.
            own = [each[:, part[0] : part[-1] + 1].copy() for each in kept]
            weights, _, _ = cluster(
                np.concatenate(own), config.clusters, config.seed, UnitsTrainingConfig.passes
            )
            nearest.append(Clusters(weights))
            advance(f"layer {number}")

    def encode(wave: torch.Tensor) -> torch.Tensor:
        heard = teacher(wave).chunk(len(nearest), dim=1)
        return torch.stack([each(own) for each, own in zip(nearest, heard, strict=True)])

    names = [f"layer {number}" for number in config.layers]
    rate = teacher.sample_rate / teacher.hop_length
    return ProbedTokenizers(names, config.clusters, rate, teacher.sample_rate, encode)


def choose(found: Mapping[str, ProbeResult], by: str) -> LayerChoice:
    """The best of layers, by what they tell of the labels ``by``."""
    best = max(found, key=lambda name: found[name].figures[f"told:{by}"].mean)
    (own, weights), others = found[best].told[by], {n: f for n, f in found.items() if n != best}
    behind = {
        name: statistics.difference(own, each.told[by][0], weights, each.told[by][1])
        for name, each in others.items()
    }
    return LayerChoice(best, by, behind)
