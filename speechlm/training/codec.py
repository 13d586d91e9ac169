"""Training a codec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from speechlm import hub
from speechlm.codec.config import CodecConfig
from speechlm.codec.network import CodecNetwork
from speechlm.data.augment import AugmentConfig
from speechlm.data.crops import Crops, Recording, recordings
from speechlm.data.shar import named
from speechlm.data.shard_crops import ShardCrops
from speechlm.errors import SpeechLMError
from speechlm.training import variable_rate
from speechlm.training.adversarial import AdversarialConfig, AdversarialObjective
from speechlm.training.config import TrainingConfig
from speechlm.training.losses.distillation import DistillationConfig, DistillationLoss
from speechlm.training.losses.spectral import SpectralLoss
from speechlm.training.losses.whisper_features import WhisperFeatureConfig, WhisperFeatureLoss

T = TypeVar("T", float, Tensor)


@dataclass
class CodecDataConfig:
    """Where the speech comes from and how a batch is cut from it."""

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote."""
    shards: list[str] = field(default_factory=list)
    """Lhotse Shar (:mod:`speechlm.data.shar`) to train on; of ``corpora`` only the dev splits are
    then used."""
    lanes: int = 8
    """Shards that are read at a time (:class:`speechlm.data.shard_crops.ShardCrops`)."""
    seconds: float = 1.0
    batch: int = 24
    gain_db: tuple[float, float] = (-12.0, 6.0)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    validation: int = 64
    """Crops of the dev splits on which to validate."""


@dataclass
class CodecLossConfig:
    """Weights of the losses, and the training schedule of the quantizer."""

    mel: float = 1.0
    linear: float = 0.5
    complex: float = 1.0
    commitment: float = 0.5
    early_commitment: float = 0.1
    """Commitment in the first ``early`` steps. Asked for strongly from the start, the encoder gives
    up dimensions that the quantizer could have coded: an effective 13 of 128, not 40, were left."""
    early: int = 1600
    draws: int | None = 3
    """Resolutions drawn each step; all when null."""
    bypass: int = 300
    """First steps, without the quantizer."""
    full: float = 0.25
    """Share of the examples that keep all levels; the others draw their number evenly."""
    ragged: float = 0.0
    """With ``decoder_only``: share of the examples whose frames keep what a variable rate leaves
    them, each their own number of levels (:mod:`speechlm.training.variable_rate`)."""


@dataclass
class CodecRecipe:
    """The recipe of a codec.

    ``init`` is a model to start from (folder, shipped name or hub id) of the same architecture. Its
    quantizer is left out where its weights have other shapes: a new one then begins there.

    ``decoder_only`` keeps the codes of that model as they are: files, units and whatever was
    trained on them stay good, and the step costs half.
    """

    kind: str = "codec"
    name: str = "codec"
    codec: CodecConfig = field(default_factory=CodecConfig)
    data: CodecDataConfig = field(default_factory=CodecDataConfig)
    init: str | None = None
    decoder_only: bool = False
    loss: CodecLossConfig = field(default_factory=CodecLossConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    hearing: WhisperFeatureConfig = field(default_factory=WhisperFeatureConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class CodecObjective(AdversarialObjective):
    """Reconstruction at a random number of levels for each example."""

    silence: Tensor

    def __init__(self, recipe: CodecRecipe):
        super().__init__()
        if recipe.decoder_only and recipe.init is None:
            raise SpeechLMError("decoder_only: name in init the model whose decoder to train")
        if recipe.decoder_only and recipe.distillation.teacher is not None:
            raise SpeechLMError("decoder_only leaves units as they are: no distillation.teacher")
        if recipe.loss.ragged and not recipe.decoder_only:
            raise SpeechLMError("loss.ragged needs codes that stay as they are: decoder_only=true")
        torch.manual_seed(recipe.training.seed)
        self.recipe = recipe
        self.model: CodecNetwork = CodecNetwork(recipe.codec)
        if recipe.init is not None:
            self.model.load_weights(self.model.weights() | _initial(recipe, self.model))
        if recipe.decoder_only:
            self.model.encoder.requires_grad_(False)
            self.model.quantizer.requires_grad_(False)
            silence = variable_rate.silence(self.model.eval())
            self.register_buffer("silence", silence, persistent=False)
        self.oppose(recipe.adversarial)
        self.distillation: DistillationLoss | None = None
        if recipe.distillation.teacher is not None:
            self.distillation = DistillationLoss(recipe.distillation.teacher, recipe.codec)
        self.spectral_loss = SpectralLoss(recipe.codec.sample_rate)
        self.hearing: WhisperFeatureLoss | None = None
        if recipe.hearing.weight:
            self.hearing = WhisperFeatureLoss(recipe.hearing, recipe.codec.sample_rate)
        train, dev = _splits(recipe.data)
        data = recipe.data
        self.crops: Crops | ShardCrops
        if data.shards:
            self.crops = self._shard_crops()
        else:
            self.crops = self._crops(train, data.batch, data.gain_db, data.augment)
        # As recorded, so that runs with other augmentation compare.
        self.held_out = self._crops(dev, data.validation)

    def _crops(self, items: list[Recording], batch: int, *changes: Any) -> Crops:
        rate = self.recipe.codec.sample_rate
        samples = round(self.recipe.data.seconds * rate)
        return Crops(items, rate, samples, batch, self.recipe.training.seed, *changes)

    def _shard_crops(self) -> ShardCrops:
        data, rate = self.recipe.data, self.recipe.codec.sample_rate
        samples = round(data.seconds * rate)
        seed = self.recipe.training.seed
        sources = [named(shards) for shards in data.shards]
        how = data.gain_db, data.augment, data.lanes
        return ShardCrops(sources, rate, samples, data.batch, seed, *how)

    def batch(self, step: int) -> dict[str, Tensor]:
        rows = self.share.rows(self.crops.batch)
        return {"wave": torch.from_numpy(self.crops(step, rows))}

    def forward(
        self, batch: dict[str, Tensor], turn: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        wave = batch["wave"]
        if turn == "discriminator":
            return self.discriminate(wave), {}
        loss = self.recipe.loss
        levels = self._draw_levels(len(wave)).to(wave.device)
        if self.recipe.decoder_only:
            qualities = self._draw_qualities(len(wave))
            z = variable_rate.latents(self.model, wave, self.silence, levels, qualities)
            estimate, quantized = self.model.sound(z, wave.shape[1]), None
        else:
            estimate, quantized = self.model(wave, levels, bypass=step < loss.bypass)
        terms = self._distances(estimate, wave, loss.draws)
        total = self._weighted(terms)
        if quantized is None:
            return self.deceive(total, terms, estimate, wave, step)
        if quantized.losses:
            terms |= quantized.losses
            commitment = loss.early_commitment if step < loss.early else loss.commitment
            total = total + commitment * terms["commitment"] + terms["codebook"]
        if self.distillation is not None and quantized.codes.shape[1]:  # none in a bypass
            first = self.model.quantizer.decode(quantized.codes[:, :1])
            terms["distilled"] = self.distillation(first, quantized.z, wave)
            total = total + self.recipe.distillation.weight * terms["distilled"]
        return self.deceive(total, terms, estimate, wave, step)

    def _distances(
        self, estimate: Tensor, wave: Tensor, draws: int | None = None
    ) -> dict[str, Tensor]:
        with torch.autocast(wave.device.type, enabled=False):
            terms = self.spectral_loss(estimate, wave, draws)
        if self.hearing is not None:
            terms["hearing"] = self.hearing(estimate, wave)
        return terms

    def _weighted(self, terms: Mapping[str, T]) -> T:
        loss = self.recipe.loss
        mel, linear, phase = terms["mel"], terms["linear"], terms["complex"]
        total = loss.mel * mel + loss.linear * linear + loss.complex * phase
        if self.hearing is not None:
            total = total + self.recipe.hearing.weight * terms["hearing"]
        return total

    def train(self, mode: bool = True) -> CodecObjective:
        super().train(mode)
        if self.recipe.decoder_only:
            # Codebooks of moving averages would follow.
            self.model.quantizer.eval()
        return self

    def _draw_levels(self, number: int) -> Tensor:
        """For so many examples of this process, of draws for those of all."""
        most = self.model.quantizer.levels
        every = number * self.share.count
        drawn = torch.randint(1, most + 1, (every,))
        full = torch.rand(every) < self.recipe.loss.full
        return torch.where(full, torch.full_like(drawn, most), drawn)[self.share.rows(every)]

    def _draw_qualities(self, number: int) -> Tensor:
        """For as many examples: of those with a variable rate; NaN for the others."""
        every = number * self.share.count
        chosen = torch.rand(every) < self.recipe.loss.ragged
        drawn = torch.where(chosen, variable_rate.HIGHEST * torch.rand(every), math.nan)
        return drawn[self.share.rows(every)]

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Losses at a quarter, half and all of the levels; ``loss`` is their mean."""
        most = self.model.quantizer.levels
        waves = torch.from_numpy(self.held_out(0)).to(next(model.parameters()).device)
        figures: dict[str, float] = {}
        totals = []
        for levels in sorted({max(1, most // 4), max(1, most // 2), most}):
            sums: dict[str, list[float]] = {}
            for wave in waves.split(16):
                kept = torch.full((len(wave),), levels, device=wave.device)
                estimate, _ = model(wave, kept)
                for name, value in self._distances(estimate, wave).items():
                    sums.setdefault(name, []).append(float(value))
            means = {name: float(np.mean(values)) for name, values in sums.items()}
            figures |= {f"{name}@{levels}": value for name, value in means.items()}
            totals.append(self._weighted(means))
        return {"loss": float(np.mean(totals)), **figures}

    def export(self, model: nn.Module, folder: Path, facts: dict[str, Any]) -> None:
        assert isinstance(model, CodecNetwork)
        hub.save_model(folder, self.recipe.codec, model.weights(), facts)

    def trained(self, turn: str) -> list[nn.Module]:
        modules = super().trained(turn)
        if turn == "model" and self.distillation is not None:
            modules.append(self.distillation)
        return modules


def _initial(recipe: CodecRecipe, model: CodecNetwork) -> dict[str, Tensor]:
    """Weights that training starts from: another model's, but not those of another quantizer."""
    config, weights = hub.load_model(recipe.init, CodecConfig)
    # A name says nothing of the shape.
    alike = replace(config, name=recipe.codec.name, quantizer=recipe.codec.quantizer)
    if alike != recipe.codec:
        raise SpeechLMError(f"{recipe.init}: another architecture than that of the recipe")
    shapes, wanted = (
        {name: value.shape for name, value in found.items() if name.startswith("quantizer.")}
        for found in (weights, model.weights())
    )
    return {name: weights[name] for name in weights if shapes == wanted or name not in shapes}


def _splits(config: CodecDataConfig) -> tuple[list[Recording], list[Recording]]:
    train: list[Recording] = []
    dev: list[Recording] = []
    for folder in config.corpora:
        train += recordings(Path(folder), "train")
        dev += recordings(Path(folder), "dev")
    for split, found in (("train", train), ("dev", dev)):
        if not found and not (config.shards and split == "train"):
            raise SpeechLMError(
                f"data.corpora: no {split} recordings in {list(config.corpora)}; name prepared "
                "corpora that have some (speechlm prepare ... split.dev=SHARE)"
            )
    return train, dev
