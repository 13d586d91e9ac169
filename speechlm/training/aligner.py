"""Training an aligner (``speechlm.alignment.ctc``)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechlm import hub
from speechlm.alignment.ctc import AlignerConfig, AlignerNetwork
from speechlm.tokenizers import features
from speechlm.training.config import TrainingConfig
from speechlm.training.transcribed_features import (
    TranscribedFeatures,
    TranscribedFeaturesConfig,
    TranscribedObjective,
    letter_loss,
)


@dataclass
class AlignerRecipe:
    """The recipe of an aligner. Its alphabet is the letters and digits of the transcripts."""

    kind: str = "aligner"
    name: str = "aligner"
    aligner: AlignerConfig = field(default_factory=AlignerConfig)
    data: TranscribedFeaturesConfig = field(default_factory=TranscribedFeaturesConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class AlignerObjective(TranscribedObjective):
    """Connectionist temporal classification, in nats a letter."""

    def __init__(self, recipe: AlignerRecipe):
        super().__init__()
        torch.manual_seed(recipe.training.seed)
        teacher = features.build(recipe.aligner.teacher)
        training = recipe.training
        self.data = TranscribedFeatures(recipe.data, teacher, Path(training.out), training.seed)
        self.identity = f"{teacher.fingerprint} {self.data.letters}"
        self.config = replace(
            recipe.aligner,
            fingerprint=teacher.fingerprint,
            language=recipe.data.language,
            letters=self.data.letters,
        )
        self.model: AlignerNetwork = AlignerNetwork(self.config, teacher.dim)

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.seed_shard()
        loss = _loss(self.model, batch)
        return loss, {"ctc": loss}

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The loss on held-out utterances."""
        return {"loss": float(_loss(model, self.held_out(model)))}

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        hub.save_model(folder, self.config, model.state_dict(), metadata)


def _loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return letter_loss(model(batch["features"], batch["frames"]), batch)
