"""Training an aligner (``speechlm.alignment.ctc``).

The teacher's features are what takes time, so they are kept in the run folder; see
:class:`speechlm.training.units.Kept`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from speechlm import hub
from speechlm.alignment.ctc import AlignerConfig, AlignerNetwork, classes, shortest, spelled
from speechlm.data import speech
from speechlm.data.speech import Utterance
from speechlm.errors import SpeechLMError
from speechlm.training.config import TrainingConfig
from speechlm.training.objective import Objective
from speechlm.training.units import Kept
from speechlm.units import features


@dataclass
class AlignerDataConfig:
    """Transcribed speech, and how much of it a batch is."""

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote."""
    language: str = "en"
    seconds: float = 20.0
    """What is longer is left out."""
    batch: int = 24
    """Utterances of like lengths."""
    validation: int = 96
    """Utterances of the dev splits on which to validate."""


@dataclass
class AlignerRecipe:
    """The recipe of an aligner. Its alphabet is the letters and digits of the transcripts."""

    kind: str = "aligner"
    name: str = "aligner"
    aligner: AlignerConfig = field(default_factory=AlignerConfig)
    data: AlignerDataConfig = field(default_factory=AlignerDataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class AlignerObjective(Objective):
    """Connectionist temporal classification, in nats a letter."""

    def __init__(self, recipe: AlignerRecipe):
        super().__init__()
        torch.manual_seed(recipe.training.seed)
        self.recipe = recipe
        self.teacher = features.build(recipe.aligner.teacher)
        train, dev = self._transcribed("train"), self._transcribed("dev")
        dev = dev[:: max(1, len(dev) // recipe.data.validation)][: recipe.data.validation]
        self._enough(len(train), len(dev))
        texts = [spelled(each.text or "") for each in train]
        letters = "".join(sorted(set("".join(texts))))
        self.identity = f"{self.teacher.fingerprint} {letters}"
        self.config = replace(
            recipe.aligner,
            fingerprint=self.teacher.fingerprint,
            language=recipe.data.language,
            letters=letters,
        )
        self.model: AlignerNetwork = AlignerNetwork(self.config, self.teacher.dim)
        self.data = self._examples("train", train)
        self.data.sort(key=lambda example: len(example[0]))
        self.held_out = self._examples("dev", dev)
        self._enough(len(self.data), len(self.held_out))

    def _enough(self, train: int, dev: int) -> None:
        if train < self.recipe.data.batch or not dev:
            raise SpeechLMError(
                f"data.corpora: {train} transcribed utterances in {self.recipe.data.language} to "
                f"train on and {dev} to validate on; data.batch is {self.recipe.data.batch}"
            )

    def _transcribed(self, split: str) -> list[Utterance]:
        """Utterances without segments, which aligning adds to them."""
        return [
            replace(each, segments=(), aligned=False)
            for corpus in self.recipe.data.corpora
            for each in speech.find(corpus)
            if (each.split, each.language) == (split, self.recipe.data.language)
            and spelled(each.text or "")
        ]

    def _examples(self, split: str, found: list[Utterance]) -> list[tuple[np.ndarray, list[int]]]:
        """Features (frames, dim) and classes of letters, of what is neither too long nor too short
        to be its text.
        """
        folder = Path(self.recipe.training.out) / f"features-{split}"
        most = self.recipe.data.seconds * self.teacher.sample_rate / self.teacher.hop
        examples = []
        for each, x in zip(found, Kept(folder, self.teacher, found), strict=True):
            letters = classes(each.text or "", self.config.letters)
            if letters and shortest(letters) <= len(x) <= most:
                examples.append((x, letters))
        return examples

    def batch(self, step: int) -> dict[str, Tensor]:
        size = self.recipe.data.batch
        random = np.random.default_rng((self.recipe.training.seed, step))
        first = int(random.integers(len(self.data) - size + 1))
        rows = range(first, first + size)[self.shard.rows(size)]
        return _collated([self.data[row] for row in rows])

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        seconds = self.teacher.hop / self.teacher.sample_rate
        return float(batch["frames"].sum()) * seconds, "audio s"

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        # The loop seeds all shards alike; each draws its own dropout.
        torch.manual_seed(torch.initial_seed() + self.row_shard.index)
        loss = _loss(self.model, batch)
        return loss, {"ctc": loss}

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The loss on held-out utterances."""
        device = next(model.parameters()).device
        batch = {name: value.to(device) for name, value in _collated(self.held_out).items()}
        return {"loss": float(_loss(model, batch))}

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        hub.save_model(folder, self.config, model.state_dict(), metadata)


def _collated(examples: list[tuple[np.ndarray, list[int]]]) -> dict[str, Tensor]:
    """Features (batch, frames, dim), classes (batch, letters), and how many there are of both."""
    x = [torch.from_numpy(each.astype(np.float32)) for each, _ in examples]
    letters = [torch.tensor(each) for _, each in examples]
    return {
        "features": pad_sequence(x, batch_first=True),
        "frames": torch.tensor([len(each) for each in x]),
        "letters": pad_sequence(letters, batch_first=True),
        "lengths": torch.tensor([len(each) for each in letters]),
    }


def _loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Nats a letter, a mean over utterances: shares of a batch come to what it does as a whole."""
    scores = model(batch["features"], batch["frames"]).transpose(0, 1)
    return F.ctc_loss(
        scores, batch["letters"], batch["frames"], batch["lengths"], zero_infinity=True
    )
