"""Training a unit vocoder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm import hub
from speechlm.data.batches.unit_crops import UnitCrops, utterances
from speechlm.data.tokenize import tokenize
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.load import TOKENIZER, embed, load
from speechlm.tokenizers.semantic import SemanticUnits
from speechlm.tokenizers.stacked import StackedUnits
from speechlm.training.adversarial import AdversarialConfig, AdversarialObjective
from speechlm.training.config import TrainingConfig
from speechlm.training.losses.spectral import LogMagnitudeLoss, LogMelLoss
from speechlm.training.losses.terms import (
    LossTerm,
    Schedule,
    Weight,
    evaluate,
    final_total,
    total_loss,
)
from speechlm.training.losses.wave_pair import WavePair, in_float32
from speechlm.training.losses.whisper_features import WhisperFeatureConfig, asr_feature_terms
from speechlm.training.validation_clips import MAX_CLIPS, numbered_clips
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
    """Weights of the losses, each a number or a schedule
    (:class:`~speechlm.training.losses.terms.Schedule`)."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"draws": "resolutions_per_step"}

    mel: Weight = 1.0
    linear: Weight = 0.5
    pitch: Weight = 1.0
    voicing: Weight = 0.2
    duration: Weight = 0.1
    asr_feature: WhisperFeatureConfig = field(default_factory=WhisperFeatureConfig)
    resolutions_per_step: int | None = 3
    """Windows of the mel loss that are drawn each step, and one of the linear loss; all when null.
    """


@dataclass
class VocoderRecipe:
    """The recipe of a vocoder for the units of ``units``: a tokenizer, or ``num_codebooks`` levels
    of a codec (null: the shipped one).

    Without a prompt it speaks in the voice of ``default_speaker``; null: in the mean of all voices.

    ``init`` is a vocoder of these units to start from (folder, shipped name or hub id), of the same
    architecture.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "levels": "num_codebooks",
        "hearing.weight": "loss.asr_feature.weight",
        "hearing.model": "loss.asr_feature.model",
        "usual": "default_speaker",
    }

    kind: str = "vocoder"
    name: str = "vocoder"
    units: str | None = None
    num_codebooks: int | None = None
    default_speaker: str | None = None
    init: str | None = None
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    data: VocoderDataConfig = field(default_factory=VocoderDataConfig)
    loss: VocoderLossConfig = field(default_factory=VocoderLossConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class VocoderOutputs:
    """What the losses of a vocoder are computed from.

    Attributes:
        pair: the synthesised waveform and the recorded one.
        model: the network.
        filters: what it predicted.
        pitch: Hz (batch, subframes), zero where there is none.
        units: (batch, codebooks, frames).
    """

    pair: WavePair
    model: VocoderNetwork
    filters: Filters
    pitch: Tensor
    units: Tensor


class VocoderObjective(AdversarialObjective):
    """Resynthesis from units and another utterance of the speaker, sung at the true pitch.

    Pitch, voicing and durations are learnt beside it. The model folder holds the tokenizer too.
    """

    def __init__(self, recipe: VocoderRecipe):
        super().__init__()
        torch.manual_seed(recipe.training.seed)
        self.recipe = recipe
        tokenizer = load(recipe.units, recipe.num_codebooks)
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
            hop_length=units.hop_length,
            num_codebooks=units.num_codebooks,
            codebook_size=units.codebook_size,
        )
        self.identity = units.weights
        self.model: VocoderNetwork = VocoderNetwork(self.config)
        if recipe.init is not None:
            _start(self.model, recipe.init, self.config)
        self.setup_gan(recipe.adversarial)
        self.reconstruction_terms = self._reconstruction_terms()
        self.terms = self._terms()
        corpora = [(folder, self._tokens(folder)) for folder in recipe.data.corpora]
        self.crops = self._crops(corpora, "train", recipe.data.batch)
        self.held_out = self._crops(corpora, "dev", recipe.data.validation)
        self.default_prompts: Tensor | None = None
        if recipe.default_speaker is not None:
            self.default_prompts = torch.from_numpy(self.crops.prompts(recipe.default_speaker))

    def _codec(self) -> str:
        """A codec by its name; the copy beside the vocoder of one that is a folder here."""
        name = self.recipe.units or hub.DEFAULT_CODEC
        return TOKENIZER if Path(name).is_dir() else name

    def _tokens(self, corpus: str) -> Tokens:
        units = framed(self.tokenizer)
        folder = Path(self.recipe.data.cache) / f"{Path(corpus).name}-{units.weights}"
        return tokenize(corpus, folder, self.recipe.units, self.recipe.num_codebooks, framed=True)

    def _crops(self, corpora: list[tuple[str, Tokens]], split: str, batch: int) -> UnitCrops:
        data, rate = self.recipe.data, self.config.sample_rate
        frames, prompt = (
            round(data.seconds * rate / self.config.hop_length),
            round(data.prompt * rate),
        )
        found = utterances(corpora, split)
        return UnitCrops(found, frames, prompt, batch, self.recipe.training.seed)

    def batch(self, step: int) -> dict[str, Tensor]:
        rows = self.shard.rows(self.crops.batch)
        batch = self.crops(step)._asdict()
        return {name: torch.from_numpy(value[rows]) for name, value in batch.items()}

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        return batch["wave"].numel() / self.model.config.sample_rate, "audio s"

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        wave = batch["wave"]
        if phase == "discriminator":
            return self.discriminator_loss(wave), {}
        pitch = self._pitch(wave)
        estimate, filters = self.model(batch["units"], batch["prompt"], pitch)
        pair = WavePair(estimate, wave, self.recipe.loss.resolutions_per_step)
        outputs = VocoderOutputs(pair, self.model, filters, pitch, batch["units"])
        total, values = total_loss(self.terms, outputs, step)
        self.keep_estimate(estimate, step)
        return total, values

    def _reconstruction_terms(self) -> list[LossTerm[WavePair]]:
        """The losses of the waveform. None depends on phase, which units do not determine."""
        loss, rate = self.recipe.loss, self.config.sample_rate
        self.mel_loss, self.linear_loss = LogMelLoss(rate), LogMagnitudeLoss()
        self.asr_feature_loss, asr_terms = asr_feature_terms(loss.asr_feature, rate)
        return [
            LossTerm("mel", Schedule.parse(loss.mel, "loss.mel"), in_float32(self.mel_loss)),
            LossTerm(
                "linear", Schedule.parse(loss.linear, "loss.linear"), in_float32(self.linear_loss)
            ),
            *asr_terms,
        ]

    def _terms(self) -> list[LossTerm[VocoderOutputs]]:
        """All losses of the model's phase."""
        loss = self.recipe.loss
        of_pair = [*self.reconstruction_terms, *self.gan_terms()]
        terms = [term.of(_pair_of) for term in of_pair]
        of_units = {"pitch": pitch_loss, "voicing": voicing_loss, "duration": _duration_loss}
        return terms + [
            LossTerm(name, Schedule.parse(getattr(loss, name), f"loss.{name}"), function)
            for name, function in of_units.items()
        ]

    def _pitch(self, wave: Tensor) -> Tensor:
        return track(wave, self.config.hop_length // self.config.parts, self.config.sample_rate)

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The losses on held-out crops, synthesised at the pitch that the model itself predicts.

        ``loss`` is that of spectra alone.
        """
        assert isinstance(model, VocoderNetwork)
        device = next(model.parameters()).device
        batch = {n: torch.from_numpy(v).to(device) for n, v in self.held_out(0)._asdict().items()}
        estimate, filters = model(batch["units"], batch["prompt"])
        pair, pitch = WavePair(estimate, batch["wave"]), self._pitch(batch["wave"])
        outputs = VocoderOutputs(pair, model, filters, pitch, batch["units"])
        gan = {"adversarial", "feature_matching"}
        terms = [term for term in self.terms if term.name not in gan]
        figures = {name: float(value) for name, value in evaluate(terms, outputs).items()}
        spectral = [term for term in self.reconstruction_terms if term.name in ("mel", "linear")]
        return {"loss": final_total(spectral, figures), **figures}

    @torch.no_grad()
    def validation_samples(self, model: nn.Module) -> dict[str, tuple[Tensor, int]]:
        """The first held-out crops, at the pitch that the model itself predicts."""
        device = next(model.parameters()).device
        crops = self.held_out(0)
        units, prompt = (
            torch.from_numpy(rows[:MAX_CLIPS]).to(device) for rows in (crops.units, crops.prompt)
        )
        return numbered_clips(model(units, prompt)[0], self.config.sample_rate)

    def validation_originals(self) -> dict[str, tuple[Tensor, int]]:
        return numbered_clips(torch.from_numpy(self.held_out(0).wave), self.config.sample_rate)

    def networks(self) -> list[nn.Module]:
        return [self.model, *super().networks()]

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        assert isinstance(model, VocoderNetwork)
        weights = model.state_dict()
        if self.default_prompts is not None:
            with torch.no_grad():
                voices = model.voice(self.default_prompts.to(model.usual.device))
            weights |= {"usual": voices.mean(dim=0)}
        hub.save_model(folder, self.config, weights, metadata)
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


def _pair_of(outputs: VocoderOutputs) -> WavePair:
    return outputs.pair


def pitch_loss(outputs: VocoderOutputs) -> Tensor:
    """Mean absolute error of the logarithm of the pitch (nats), where there is one."""
    voiced = outputs.pitch > 0
    logs = outputs.pitch.clamp_min(1.0).log()
    error = (outputs.filters.pitch.float() - logs).abs() * voiced
    return error.sum() / voiced.sum().clamp_min(1)


def voicing_loss(outputs: VocoderOutputs) -> Tensor:
    """Binary cross-entropy (nats) of whether there is a pitch."""
    voiced = (outputs.pitch > 0).float()
    return F.binary_cross_entropy_with_logits(outputs.filters.voicing.float(), voiced)


def _duration_loss(outputs: VocoderOutputs) -> Tensor:
    with torch.autocast(outputs.units.device.type, enabled=False):
        return duration_loss(outputs.model, outputs.units[:, 0])


def duration_loss(model: VocoderNetwork, units: Tensor) -> Tensor:
    """Mean absolute error of the logarithm of the lengths of runs in ``units`` (batch, frames).

    The first and the last run of a row do not count, since the crop cuts them.
    """
    losses = []
    for row in units:
        run_units, lengths = torch.unique_consecutive(row, return_counts=True)
        run_units = run_units[None]
        predicted, _ = model.durations.step(run_units, model.durations.initial_state(run_units))
        losses.append((predicted[0] - lengths.log())[1:-1].abs())
    return torch.cat([*losses, predicted.new_zeros(1)]).mean()
