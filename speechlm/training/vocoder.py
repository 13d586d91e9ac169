"""Training a unit vocoder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm import hub
from speechlm.data.tokenize import tokenize
from speechlm.data.tokens import Tokens
from speechlm.data.unit_crops import UnitCrops, utterances
from speechlm.errors import SpeechLMError
from speechlm.training.adversarial import AdversarialConfig, AdversarialObjective
from speechlm.training.config import TrainingConfig
from speechlm.training.losses.spectral import SpectralLoss
from speechlm.training.losses.whisper_features import WhisperFeatureConfig, WhisperFeatureLoss
from speechlm.units.load import TOKENIZER, embed, load
from speechlm.units.semantic import SemanticUnits
from speechlm.units.stacked import StackedUnits
from speechlm.vocoder.config import VocoderConfig
from speechlm.vocoder.model import VocodedUnits, framed
from speechlm.vocoder.network import Filters, VocoderNetwork
from speechlm.vocoder.pitch import track


@dataclass
class VocoderDataConfig:
    """Where the speech comes from and how a batch is cut from it."""

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote."""
    cache: str = "data/tokens"
    """Where their units are kept, a folder for each corpus and tokenizer."""
    seconds: float = 1.0
    prompt: float = 2.0
    """Seconds of the speaker."""
    batch: int = 16
    validation: int = 32
    """Crops of the dev splits on which to validate."""


@dataclass
class VocoderLossConfig:
    """Weights of the losses."""

    mel: float = 1.0
    linear: float = 0.5
    pitch: float = 1.0
    voicing: float = 0.2
    duration: float = 0.1
    draws: int | None = 3
    """Resolutions drawn each step; all when null."""


@dataclass
class VocoderRecipe:
    """The recipe of a vocoder for the units of ``units``: a tokenizer, or ``levels`` levels of a
    codec (null: the shipped one).

    Where nobody gives a voice, that of the speaker ``usual`` is heard; null: the mean of all.

    ``init`` is a vocoder of these units to start from (folder, shipped name or hub id), of the same
    architecture.
    """

    kind: str = "vocoder"
    name: str = "vocoder"
    units: str | None = None
    levels: int | None = None
    usual: str | None = None
    init: str | None = None
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    data: VocoderDataConfig = field(default_factory=VocoderDataConfig)
    loss: VocoderLossConfig = field(default_factory=VocoderLossConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    hearing: WhisperFeatureConfig = field(default_factory=WhisperFeatureConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


class VocoderObjective(AdversarialObjective):
    """Resynthesis from units and another utterance of the speaker, sung at the true pitch.

    Pitch, voicing and durations are learnt beside it. The model folder holds the tokenizer too.
    """

    def __init__(self, recipe: VocoderRecipe):
        super().__init__()
        torch.manual_seed(recipe.training.seed)
        self.recipe = recipe
        tokenizer = load(recipe.units, recipe.levels)
        if isinstance(tokenizer, VocodedUnits):
            tokenizer = tokenizer.tokenizer
        if isinstance(tokenizer, StackedUnits):
            raise SpeechLMError(
                f"units={recipe.units}: stacked units need no vocoder, their codec makes sound"
            )
        self.tokenizer = tokenizer
        units = framed(tokenizer)
        self.config = replace(
            recipe.vocoder,
            codec=None if isinstance(tokenizer, SemanticUnits) else self._codec(),
            weights=units.weights,
            sample_rate=units.sample_rate,
            hop=units.hop,
            levels=units.levels,
            cardinality=units.cardinality,
        )
        self.identity = units.weights
        self.model: VocoderNetwork = VocoderNetwork(self.config)
        if recipe.init is not None:
            _start(self.model, recipe.init, self.config)
        self.oppose(recipe.adversarial)
        self.spectral_loss = SpectralLoss(self.config.sample_rate)
        self.hearing: WhisperFeatureLoss | None = None
        if recipe.hearing.weight:
            self.hearing = WhisperFeatureLoss(recipe.hearing, self.config.sample_rate)
        corpora = [(folder, self._tokens(folder)) for folder in recipe.data.corpora]
        self.crops = self._crops(corpora, "train", recipe.data.batch)
        self.held_out = self._crops(corpora, "dev", recipe.data.validation)
        self.usual: Tensor | None = None
        if recipe.usual is not None:
            self.usual = torch.from_numpy(self.crops.prompts(recipe.usual))

    def _codec(self) -> str:
        """A codec by its name; the copy beside the vocoder of one that is a folder here."""
        name = self.recipe.units or hub.DEFAULT_CODEC
        return TOKENIZER if Path(name).is_dir() else name

    def _tokens(self, corpus: str) -> Tokens:
        units = framed(self.tokenizer)
        folder = Path(self.recipe.data.cache) / f"{Path(corpus).name}-{units.weights}"
        return tokenize(corpus, folder, self.recipe.units, self.recipe.levels, framed=True)

    def _crops(self, corpora: list[tuple[str, Tokens]], split: str, batch: int) -> UnitCrops:
        data, rate = self.recipe.data, self.config.sample_rate
        frames, prompt = round(data.seconds * rate / self.config.hop), round(data.prompt * rate)
        found = utterances(corpora, split)
        return UnitCrops(found, frames, prompt, batch, self.recipe.training.seed)

    def batch(self, step: int) -> dict[str, Tensor]:
        rows = self.share.rows(self.crops.batch)
        batch = self.crops(step)._asdict()
        return {name: torch.from_numpy(value[rows]) for name, value in batch.items()}

    def forward(
        self, batch: dict[str, Tensor], turn: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        wave = batch["wave"]
        if turn == "discriminator":
            return self.discriminate(wave), {}
        pitch = self._pitch(wave)
        estimate, filters = self.model(batch["units"], batch["prompt"], pitch)
        terms = self._distances(estimate, wave, self.recipe.loss.draws)
        terms |= _read(self.model, filters, pitch, batch["units"])
        return self.deceive(self._weighted(terms), terms, estimate, wave, step)

    def _distances(
        self, estimate: Tensor, wave: Tensor, draws: int | None = None
    ) -> dict[str, Tensor]:
        """Of what is heard."""
        with torch.autocast(wave.device.type, enabled=False):
            terms = self.spectral_loss(estimate, wave, draws)
        del terms["complex"]  # nobody knows the phase
        if self.hearing is not None:
            terms["hearing"] = self.hearing(estimate, wave)
        return terms

    def _pitch(self, wave: Tensor) -> Tensor:
        return track(wave, self.config.hop // self.config.parts, self.config.sample_rate)

    def _weighted(self, terms: dict[str, Tensor]) -> Tensor:
        weights = self.recipe.loss
        names = ("mel", "linear", "pitch", "voicing", "duration")
        total = torch.stack([getattr(weights, name) * terms[name] for name in names]).sum()
        if self.hearing is not None:
            total = total + self.recipe.hearing.weight * terms["hearing"]
        return total

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The losses on held-out crops, sung at the pitch that the model itself says.

        ``loss`` is that of spectra alone.
        """
        assert isinstance(model, VocoderNetwork)
        device = next(model.parameters()).device
        batch = {n: torch.from_numpy(v).to(device) for n, v in self.held_out(0)._asdict().items()}
        estimate, filters = model(batch["units"], batch["prompt"])
        terms = self._distances(estimate, batch["wave"])
        terms |= _read(model, filters, self._pitch(batch["wave"]), batch["units"])
        figures = {name: float(value) for name, value in terms.items()}
        loss = self.recipe.loss
        return {"loss": loss.mel * figures["mel"] + loss.linear * figures["linear"], **figures}

    def export(self, model: nn.Module, folder: Path, facts: dict[str, Any]) -> None:
        assert isinstance(model, VocoderNetwork)
        weights = model.state_dict()
        if self.usual is not None:
            with torch.no_grad():
                voices = model.voice(self.usual.to(model.usual.device))
            weights |= {"usual": voices.mean(dim=0)}
        hub.save_model(folder, self.config, weights, facts)
        if self.config.codec in (None, TOKENIZER):
            embed(self.recipe.units, folder)


def _start(model: VocoderNetwork, name: str, config: VocoderConfig) -> None:
    """Give ``model`` the weights of another vocoder.

    Raises:
        SpeechLMError: when it has another architecture, or other units.
    """
    found, weights = hub.load_model(name, VocoderConfig)
    if replace(found, name=config.name, codec=config.codec) != config:
        raise SpeechLMError(f"{name}: another architecture than that of the recipe, or other units")
    hub.fill(model, weights, name)


def _read(
    model: VocoderNetwork, filters: Filters, pitch: Tensor, units: Tensor
) -> dict[str, Tensor]:
    """Distances of pitch, voicing and durations, all read off ``units`` (batch, levels, frames)."""
    with torch.autocast(units.device.type, enabled=False):
        return _sung(filters, pitch) | {"duration": duration_loss(model, units[:, 0])}


def _sung(filters: Filters, pitch: Tensor) -> dict[str, Tensor]:
    """How far the pitch is off where there is one (nats), and the entropy of whether there is."""
    voiced = pitch > 0
    off = (filters.pitch - pitch.clamp_min(1.0).log()).abs() * voiced
    return {
        "pitch": off.sum() / voiced.sum().clamp_min(1),
        "voicing": F.binary_cross_entropy_with_logits(filters.voicing, voiced.float()),
    }


def duration_loss(model: VocoderNetwork, units: Tensor) -> Tensor:
    """Mean distance (nats) of what runs of ``units`` (batch, frames) last; not of those cut off."""
    losses = []
    for row in units:
        kept, lengths = torch.unique_consecutive(row, return_counts=True)
        said = kept[None]
        lasting, _ = model.durations.step(said, model.durations.initial_state(said))
        losses.append((lasting[0] - lengths.log())[1:-1].abs())
    return torch.cat([*losses, lasting.new_zeros(1)]).mean()
