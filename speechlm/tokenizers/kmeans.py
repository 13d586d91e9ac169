"""Units by k-means: the number of the centroid that is nearest to a frame's features.

As in GSLM (Lakhotia et al. 2021) and HuBERT (Hsu et al. 2021), on features of any teacher.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.tokenizers import features, serialization
from speechlm.tokenizers.features import TeacherConfig
from speechlm.tokenizers.semantic import FrameUnits, SemanticUnits
from speechlm.tokenizers.serialization import SerializationConfig


@dataclass
class KMeansConfig:
    """The ``config.yaml`` of a folder with such units."""

    kind: str = "kmeans"
    name: str = "units"
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    clusters: int = 100
    form: SerializationConfig = field(default_factory=SerializationConfig)


class Clusters:
    """The nearest centroid of each frame.

    ``weights`` are ``mean`` and ``scale`` (dim,) of the features, and ``centroids`` (clusters, dim)
    of what is left of them.
    """

    def __init__(self, weights: dict[str, Tensor]):
        self.mean, self.scale = weights["mean"], weights["scale"]
        self.centroids = weights["centroids"]
        self._offset = 0.5 * self.centroids.square().sum(dim=1)

    def to(self, device: str | torch.device) -> None:
        """Move to a device, in place."""
        self.mean, self.scale = self.mean.to(device), self.scale.to(device)
        self.centroids, self._offset = self.centroids.to(device), self._offset.to(device)

    @torch.inference_mode()
    def __call__(self, features: Tensor) -> Tensor:
        """Units int64 (frames,) of ``features`` (frames, dim)."""
        x = (features - self.mean) / self.scale
        return (x @ self.centroids.T - self._offset).argmax(dim=1)


class KMeans(FrameUnits):
    """``weights`` are those of :class:`Clusters`.

    Raises:
        SpeechLMError: when the teacher cannot be had, or the weights are of another.
    """

    def __init__(self, config: KMeansConfig, weights: dict[str, Tensor]):
        self.teacher = features.build(config.teacher)
        self.name, self.clusters = config.name, config.clusters
        self.sample_rate, self.hop_length = self.teacher.sample_rate, self.teacher.hop_length
        dim = self.teacher.dim
        wanted = {"mean": (dim,), "scale": (dim,), "centroids": (config.clusters, dim)}
        if {name: tuple(value.shape) for name, value in weights.items()} != wanted:
            raise SpeechLMError(f"{config.name}: the weights do not fit the configuration")
        self.nearest = Clusters(weights)
        whole = f"{hub.weights_hash(weights)} {self.teacher.fingerprint}"
        self.weights_hash = hashlib.sha256(whole.encode()).hexdigest()[:8]

    @property
    def device(self) -> torch.device:
        return self.nearest.mean.device

    def to(self, device: str | torch.device) -> Self:
        self.teacher.to(device)
        self.nearest.to(device)
        return self

    def __call__(self, wave: Tensor) -> Tensor:
        return self.nearest(self.teacher(wave))


def load(folder: Path, num_codebooks: int | None = None, framed: bool = False) -> SemanticUnits:
    """The tokenizer in a model folder; see :func:`speechlm.tokenizers.load.load`."""
    config, weights = hub.load_model(folder, KMeansConfig)
    source = KMeans(config, weights)
    form = serialization.build(
        SerializationConfig() if framed else config.form, source.clusters, folder
    )
    return SemanticUnits(source, form, config.form.hop_length, num_codebooks)
