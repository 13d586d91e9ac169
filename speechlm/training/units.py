"""Training k-means units: features of some hours of speech, clustered.

Features are what takes time, so they are kept in the run folder, shard by shard: a run that was
stopped goes on where it was. Clustering them takes a minute or so, is seeded, and is done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speechlm import audio, hub
from speechlm.data import speech
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.tokenizers import features
from speechlm.tokenizers.features import Teacher
from speechlm.tokenizers.kmeans import KMeansConfig
from speechlm.tokenizers.serialization import FrameTokens, UnitBPE, build, check, runs
from speechlm.utils.files import atomic_path
from speechlm.utils.processes import progress

SHARD = 64
"""Utterances of which features are kept in a file."""
BATCH = 8192
"""Frames in a mini-batch of k-means."""

Features = NDArray[np.float16]


@dataclass
class UnitsDataConfig:
    """What is clustered."""

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote, or others that ``speechlm tokenize`` takes."""
    minutes: float = 120.0
    """Speech of their train splits, of utterances that are drawn evenly: all, if there is less."""


@dataclass
class UnitsTrainingConfig:
    """Where, and from which seed."""

    out: str = "runs/${name}"
    seed: int = 0
    passes: int = 20
    """Over the data, at most; k-means ends earlier where nothing gets better."""


@dataclass
class UnitsRecipe:
    """The recipe of a k-means tokenizer."""

    kind: str = "units"
    name: str = "units"
    units: KMeansConfig = field(default_factory=KMeansConfig)
    data: UnitsDataConfig = field(default_factory=UnitsDataConfig)
    training: UnitsTrainingConfig = field(default_factory=UnitsTrainingConfig)


def train_units(recipe: UnitsRecipe) -> Path:
    """Cluster as the recipe says; return the model folder.

    Raises:
        SpeechLMError: when there is no speech, or less than frames for that many clusters, when
            ``training.out`` has features of something else, or for settings that cannot be.
    """
    config, seed = recipe.units, recipe.training.seed
    counts = {"units.clusters": config.clusters, "training.passes": recipe.training.passes}
    for name, value in counts.items():
        if value < 1:
            raise SpeechLMError(f"{name} is 1 or more, not {value}")
    check(config.form)
    out = Path(recipe.training.out)
    teacher = features.build(config.teacher)
    found = draw(recipe.data, seed)
    kept = Kept(out / "features", teacher, found)
    utterances = list(kept)
    whole = np.concatenate([np.zeros((0, teacher.dim), np.float16), *utterances])
    weights, units, facts = cluster(whole, config.clusters, seed, recipe.training.passes)
    lengths = [len(each) for each in utterances]
    every = np.split(units, np.cumsum(lengths)[:-1])
    facts |= {"hours": len(whole) * teacher.hop_length / teacher.sample_rate / 3600}
    folder = out / "model"
    folder.mkdir(parents=True, exist_ok=True)
    form = config.form
    if form.kind == "pieces":
        made = UnitBPE.train(every, config.clusters, form.pieces)
        made.save(folder)
    written = build(form, config.clusters, folder)
    columns = len(whole)
    if not isinstance(written, FrameTokens):
        columns = sum(written.write(each).shape[1] for each in every)
    facts["run"] = len(whole) / sum(len(runs(each)[0]) for each in every)
    mean = round(len(whole) * teacher.hop_length / max(columns, 1))
    hub.save_model(folder, replace(config, form=replace(form, hop_length=mean)), weights, facts)
    return folder


def draw(data: UnitsDataConfig, seed: int) -> list[Utterance]:
    """Training utterances of all corpora in random order: more than are wanted, or all."""
    found = [
        utterance
        for corpus in data.corpora
        for utterance in speech.find(corpus)
        if utterance.split == "train"
    ]
    if not found:
        raise SpeechLMError("data.corpora: no speech to train on; name prepared corpora")
    order = np.random.default_rng(seed).permutation(len(found))
    chosen, seconds = [], 0.0
    for index in order.tolist():
        if seconds >= 60 * data.minutes:
            break
        chosen.append(found[index])
        wave, rate = found[index].audio()
        seconds += len(wave) / rate
    return chosen


class Kept:
    """Features of utterances, in files of :data:`SHARD` utterances each, made where they lack.

    Raises:
        SpeechLMError: when the folder has those of another teacher or other utterances, or a file
            of it is damaged.
    """

    def __init__(self, folder: Path, teacher: Teacher, found: Sequence[Utterance]):
        self.folder, self.teacher = folder, teacher
        self.parts = [found[first : first + SHARD] for first in range(0, len(found), SHARD)]
        facts = {"teacher": teacher.fingerprint, "utterances": speech.digest(list(found))}
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "features.json"
        if path.exists() and _facts(path) != facts:
            raise SpeechLMError(
                f"{folder}: features of another teacher or other speech; remove it, or give "
                "another training.out"
            )
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(facts) + "\n", "utf-8")
        missing = [n for n in range(len(self.parts)) if not self._path(n).exists()]
        with progress("features", len(missing)) as advance:
            for number in missing:
                if not self._path(number).exists():  # another process may have made it by now
                    self._make(number)
                advance(f"shard {number}")

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"

    def _make(self, number: int) -> None:
        from safetensors.numpy import save_file

        found = [self._features(each).astype(np.float16) for each in self.parts[number]]
        content: dict[str, NDArray[Any]] = {
            "features": np.concatenate(found),
            "lengths": np.array([len(each) for each in found], np.int64),
        }
        with atomic_path(self._path(number)) as path:
            save_file(content, path)

    def _features(self, utterance: Utterance) -> NDArray[np.float32]:
        wave, rate = utterance.audio()
        whole = audio.resample(wave, rate, self.teacher.sample_rate)
        return self.teacher(torch.from_numpy(whole)).numpy()

    def __iter__(self) -> Iterator[Features]:
        """Features (frames, dim) of each utterance."""
        for number in range(len(self.parts)):
            yield from self._read(number)

    def _read(self, number: int) -> list[Features]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            content = load_file(self._path(number))
        except SafetensorError:
            raise _damaged(self._path(number)) from None
        return np.split(content["features"], np.cumsum(content["lengths"])[:-1])


def _facts(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: Path) -> SpeechLMError:
    return SpeechLMError(f"{path} is damaged; remove it, and run the same command again")


def cluster(
    whole: Features, clusters: int, seed: int, passes: int
) -> tuple[dict[str, torch.Tensor], NDArray[np.int64], dict[str, Any]]:
    """Mini-batch k-means (Sculley 2010) of features (frames, dim), standardised.

    Returns the weights of :class:`speechlm.tokenizers.kmeans.KMeans`, the units (frames,), and
    facts: the frames, and the share of the variance that units leave unexplained.

    Raises:
        SpeechLMError: when scikit-learn is not installed, or when there are no more frames than
            clusters.
    """
    if len(whole) <= clusters:
        raise SpeechLMError(f"{len(whole)} frames of speech for {clusters} clusters")
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError:
        raise SpeechLMError(
            "scikit-learn is not installed: pip install 'speechlm[units]'"
        ) from None
    x = whole.astype(np.float32)
    mean, scale = x.mean(axis=0), x.std(axis=0).clip(1e-3)
    x = (x - mean) / scale
    means = MiniBatchKMeans(
        clusters, batch_size=BATCH, max_iter=passes, n_init=1, random_state=seed
    ).fit(x)
    weights = {"mean": mean, "scale": scale, "centroids": means.cluster_centers_}
    facts = {"frames": len(x), "unexplained": float(means.inertia_ / np.square(x).sum())}
    tensors = {name: torch.from_numpy(np.asarray(w, np.float32)) for name, w in weights.items()}
    return tensors, means.labels_.astype(np.int64), facts
