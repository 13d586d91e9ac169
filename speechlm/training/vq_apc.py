"""Training units that predict (``speechlm.tokenizers.vq_apc``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechlm import hub
from speechlm.data.batches.audio_crops import Crops, recordings
from speechlm.errors import SpeechLMError
from speechlm.quantize import Quantized, codebook_counts
from speechlm.tokenizers.features.spectral import RATE
from speechlm.tokenizers.vq_apc import VqApcConfig, VqApcNetwork
from speechlm.training.config import TrainingConfig
from speechlm.training.losses.commitment import commitment_loss
from speechlm.training.losses.terms import LossTerm, Schedule, Weight, total_loss
from speechlm.training.objective import Objective

MEASURED = 8
"""Batches of which the mean and the spread of the features are taken."""


@dataclass
class VqApcDataConfig:
    """Where the speech comes from and how a batch is cut from it."""

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote."""
    seconds: float = 2.0
    batch: int = 16
    gain_db: tuple[float, float] = (-6.0, 6.0)
    validation: int = 64
    """Crops of the dev splits on which to validate."""


@dataclass
class VqApcRecipe:
    """The recipe of a tokenizer that learns by prediction."""

    kind: str = "vq-apc"
    name: str = "vq-apc"
    units: VqApcConfig = field(default_factory=VqApcConfig)
    data: VqApcDataConfig = field(default_factory=VqApcDataConfig)
    commitment: Weight = 0.25
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class VqApcOutputs:
    """What the losses are computed from.

    Attributes:
        predicted: features (batch, dim, frames).
        target: the features that come ``shift`` frames later.
        quantized: the latents of the predictor.
    """

    predicted: Tensor
    target: Tensor
    quantized: Quantized


def prediction_error(outputs: VqApcOutputs) -> Tensor:
    """Mean absolute error of the prediction."""
    return (outputs.predicted - outputs.target).abs().mean()


def _quantized_of(outputs: VqApcOutputs) -> Quantized:
    return outputs.quantized


class VqApcObjective(Objective):
    """The mean absolute error of the frame that comes ``shift`` frames later."""

    def __init__(self, recipe: VqApcRecipe):
        super().__init__()
        torch.manual_seed(recipe.training.seed)
        self.recipe = recipe
        self.model: VqApcNetwork = VqApcNetwork(recipe.units)
        shift, frames = (
            recipe.units.shift,
            round(recipe.data.seconds * RATE) // recipe.units.hop_length,
        )
        if not 1 <= shift < frames:
            raise SpeechLMError(f"units.shift is 1 to {frames - 1} frames, not {shift}")
        commitment = Schedule.parse(recipe.commitment, "commitment")
        self.terms = [
            LossTerm("error", Schedule.parse(1.0, ""), prediction_error),
            LossTerm("commitment", commitment, commitment_loss).of(_quantized_of),
        ]
        data = recipe.data
        self.crops = self._crops("train", data.batch, data.gain_db)
        self.held_out = self._crops("dev", data.validation)
        seen = [self.model.features(torch.from_numpy(self.crops(step))) for step in range(MEASURED)]
        every = torch.cat(seen).transpose(0, 1).flatten(1)
        self.model.mean.copy_(every.mean(dim=1))
        self.model.scale.copy_(every.std(dim=1).clamp_min(1e-3))

    def _crops(self, split: str, batch: int, *changes: Any) -> Crops:
        data = self.recipe.data
        found = [each for corpus in data.corpora for each in recordings(Path(corpus), split)]
        if not found:
            raise SpeechLMError(f"data.corpora: no {split} recordings; name prepared corpora")
        seed = self.recipe.training.seed
        return Crops(found, RATE, round(data.seconds * RATE), batch, seed, *changes)

    def batch(self, step: int) -> dict[str, Tensor]:
        wave = torch.from_numpy(self.crops(step, self.shard.rows(self.crops.batch)))
        return {"features": self.model.features(wave)}

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        examples, _, frames = batch["features"].shape
        return examples * frames * self.recipe.units.hop_length / RATE, "audio s"

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        outputs = self._outputs(self.model, batch["features"])
        total, values = total_loss(self.terms, outputs, step)
        values["codebook"] = codebook_counts(outputs.quantized.codes, self.recipe.units.clusters)
        return total, values

    def _outputs(self, model: VqApcNetwork, features: Tensor) -> VqApcOutputs:
        predicted, quantized = model(features)
        shift = self.recipe.units.shift
        return VqApcOutputs(predicted[:, :, :-shift], features[:, :, shift:], quantized)

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The error, that of saying that nothing changes, and the units in use (perplexity)."""
        assert isinstance(model, VqApcNetwork)
        shift = self.recipe.units.shift
        x = model.features(torch.from_numpy(self.held_out(0)))
        error = prediction_error(self._outputs(model, x))
        codes = model.quantizer.encode(model.stack(x)).flatten()
        share = torch.bincount(codes, minlength=self.recipe.units.clusters) / len(codes)
        return {
            "loss": float(error),
            "still": float((x[:, :, :-shift] - x[:, :, shift:]).abs().mean()),
            "perplexity": float(torch.special.entr(share).sum().exp()),
        }

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        assert isinstance(model, VqApcNetwork)
        hub.save_model(folder, self.recipe.units, model.weights(), metadata)
