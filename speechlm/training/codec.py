"""Training a codec."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from speechlm import hub
from speechlm.codec.config import CodecConfig
from speechlm.codec.network import CodecNetwork
from speechlm.codec.spectral import SpectralDecoder
from speechlm.data.augment import AugmentConfig
from speechlm.data.batches.audio_crops import CorpusRecording, Crops, recordings
from speechlm.data.batches.shar_crops import ShardCrops
from speechlm.data.shar import named
from speechlm.errors import SpeechLMError
from speechlm.quantize import Quantized, codebook_counts
from speechlm.quantize.vector import current_name
from speechlm.training import variable_rate
from speechlm.training.adversarial import AdversarialConfig, AdversarialObjective
from speechlm.training.config import TrainingConfig
from speechlm.training.losses.coherence import CoherenceLoss
from speechlm.training.losses.commitment import (
    codebook_loss,
    commitment_loss,
    commitment_schedule,
)
from speechlm.training.losses.distillation import DistillationConfig, DistillationLoss
from speechlm.training.losses.spectral import CompressedComplexLoss, LogMagnitudeLoss, LogMelLoss
from speechlm.training.losses.terms import (
    LossTerm,
    Schedule,
    Weight,
    evaluate,
    final_total,
    total_loss,
)
from speechlm.training.losses.wave_pair import WavePair, in_float32
from speechlm.training.losses.waveform import BandWaveformLoss
from speechlm.training.losses.whisper_features import WhisperFeatureConfig, asr_feature_terms
from speechlm.training.quantization import QuantizationConfig, TrainingQuantization
from speechlm.training.validation_clips import MAX_CLIPS, numbered_clips


@dataclass
class CodecDataConfig:
    """Where the speech comes from and how a batch is cut from it."""

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote."""
    shards: list[str] = field(default_factory=list)
    """Lhotse Shar (:mod:`speechlm.data.shar`) to train on; of ``corpora`` only the dev splits are
    then used."""
    lanes: int = 8
    """Shards that are read at a time (:class:`speechlm.data.batches.shar_crops.ShardCrops`)."""
    seconds: float = 1.0
    batch: int = 24
    gain_db: tuple[float, float] = (-12.0, 6.0)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    validation: int = 64
    """Crops of the dev splits on which to validate."""


@dataclass
class CodecLossConfig:
    """Weights of the losses, each a number or a schedule
    (:class:`~speechlm.training.losses.terms.Schedule`)."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "draws": "resolutions_per_step",
        "early": "commitment_warmup_steps",
        "early_commitment": "commitment_warmup_weight",
    }

    mel: Weight = 1.0
    linear: Weight = 0.5
    complex: Weight = 1.0
    complex_focus_hz: tuple[float, float] | None = None
    """The complex loss counts fully up to the first frequency and a tenth from the second on."""
    waveform: Weight = 0.0
    """Of the waveform from 300 to 3,000 Hz."""
    coherence: Weight = 0.0
    """Of the phase up to 4 kHz."""
    asr_feature: WhisperFeatureConfig = field(default_factory=WhisperFeatureConfig)
    commitment: Weight = 0.5
    commitment_warmup_weight: float = 0.1
    """Of the commitment in the first steps. With a high weight from the start, the encoder gives up
    dimensions that the quantizer could have coded: an effective 13 of 128, not 40, were left."""
    commitment_warmup_steps: int = 1600
    codebook: Weight = 1.0
    """Of codebooks that learn by gradient."""
    level_rms: float | None = None
    """The losses compare waveforms with a gain that brings the target to this level."""
    resolutions_per_step: int | None = 3
    """Windows of the mel loss that are drawn each step, and one of each other spectral loss; all
    when null."""


@dataclass
class CodecRecipe:
    """The recipe of a codec.

    ``init`` is a model to start from (folder, shipped name or hub id) of the same architecture. Its
    quantizer is left out where its weights have other shapes: a new one is then trained. The
    decoder may have more blocks than that of the model: they start as the identity.

    ``decoder_only`` leaves encoder and quantizer as they are, so that files, units and language
    models of that codec stay valid, and a step costs half.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "hearing.weight": "loss.asr_feature.weight",
        "hearing.model": "loss.asr_feature.model",
        "loss.bypass": "quantization.quantizer_bypass_steps",
        "loss.full": "quantization.all_codebooks_prob",
        "loss.ragged": "quantization.variable_rate_prob",
    }

    kind: str = "codec"
    name: str = "codec"
    codec: CodecConfig = field(default_factory=CodecConfig)
    data: CodecDataConfig = field(default_factory=CodecDataConfig)
    init: str | None = None
    decoder_only: bool = False
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    loss: CodecLossConfig = field(default_factory=CodecLossConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class CodecOutputs:
    """What the losses of a codec are computed from.

    Attributes:
        pair: the reconstruction and the waveform.
        quantized: the latents, as the decoder got them; None for a decoder alone.
    """

    pair: WavePair
    quantized: Quantized | None


class CodecObjective(AdversarialObjective):
    """Reconstruction at a random number of levels for each example."""

    silence: Tensor

    def __init__(self, recipe: CodecRecipe):
        super().__init__()
        if recipe.decoder_only and recipe.init is None:
            raise SpeechLMError("decoder_only: name in init the model whose decoder to train")
        if recipe.decoder_only and recipe.distillation.teacher is not None:
            raise SpeechLMError("decoder_only leaves units as they are: no distillation.teacher")
        if recipe.quantization.variable_rate_prob and not recipe.decoder_only:
            raise SpeechLMError("quantization.variable_rate_prob: needs decoder_only=true")
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
        self.setup_gan(recipe.adversarial)
        self.distillation: DistillationLoss | None = None
        if recipe.distillation.teacher is not None:
            self.distillation = DistillationLoss(recipe.distillation.teacher, recipe.codec)
        self.quantization = TrainingQuantization(
            recipe.quantization, self.model.quantizer.num_codebooks
        )
        self.reconstruction_terms = self._reconstruction_terms()
        self.terms = self._terms()
        train, dev = _splits(recipe.data)
        data = recipe.data
        self.crops: Crops | ShardCrops
        if data.shards:
            self.crops = self._shard_crops()
        else:
            self.crops = self._crops(train, data.batch, data.gain_db, data.augment)
        # As recorded, so that runs with other augmentation compare.
        self.held_out = self._crops(dev, data.validation)

    def _crops(self, items: list[CorpusRecording], batch: int, *changes: Any) -> Crops:
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
        rows = self.shard.rows(self.crops.batch)
        if isinstance(self.crops, Crops):
            return {"wave": self.crops.tensor(step, rows)}
        return {"wave": torch.from_numpy(self.crops(step, rows))}

    def place_data(self, device: torch.device) -> None:
        if device.type == "cuda" and isinstance(self.crops, Crops):
            self.crops.place(device)

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        return batch["wave"].numel() / self.recipe.codec.sample_rate, "audio s"

    def _reconstruction_terms(self) -> list[LossTerm[WavePair]]:
        """The losses of the decoder's output, by which models are validated too."""
        loss, rate = self.recipe.loss, self.recipe.codec.sample_rate
        modules: dict[str, nn.Module] = {
            "mel": LogMelLoss(rate),
            "linear": LogMagnitudeLoss(),
            "complex": CompressedComplexLoss(rate, focus_hz=loss.complex_focus_hz),
            "waveform": BandWaveformLoss(rate),
            "coherence": CoherenceLoss(rate),
        }
        self.reconstruction_losses = nn.ModuleDict(modules)
        terms = [
            LossTerm(name, Schedule.parse(getattr(loss, name), f"loss.{name}"), in_float32(module))
            for name, module in modules.items()
        ]
        self.asr_feature_loss, asr_terms = asr_feature_terms(loss.asr_feature, rate)
        return terms + asr_terms

    def _terms(self) -> list[LossTerm[CodecOutputs]]:
        """All losses of the model's phase."""
        loss = self.recipe.loss
        of_pair = [*self.reconstruction_terms, *self.gan_terms()]
        terms = [term.of(_pair_of) for term in of_pair]
        commitment = commitment_schedule(
            Schedule.parse(loss.commitment, "loss.commitment"),
            loss.commitment_warmup_weight,
            loss.commitment_warmup_steps,
        )
        codebook = Schedule.parse(loss.codebook, "loss.codebook")
        terms += [
            LossTerm("commitment", commitment, commitment_loss).of(_quantized_of),
            LossTerm("codebook", codebook, codebook_loss).of(_quantized_of),
        ]
        if self.distillation is not None:
            weight = Schedule.parse(self.recipe.distillation.weight, "distillation.weight")
            terms.append(LossTerm("distillation", weight, self._distillation_loss))
        return terms

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        wave = batch["wave"]
        if phase == "discriminator":
            return self.discriminator_loss(wave), {}
        if self.recipe.decoder_only:
            outputs = self._decode_variable_rate(wave)
        else:
            outputs = self._reconstruct(wave, step)
        total, values = total_loss(self.terms, outputs, step)
        self.keep_estimate(outputs.pair.estimate, step)
        if outputs.quantized is not None and outputs.quantized.codes.shape[1]:
            codes, size = outputs.quantized.codes, self.model.quantizer.codebook_size
            values["codebook"] = codebook_counts(codes, size)
        return total, values

    def _reconstruct(self, wave: Tensor, step: int) -> CodecOutputs:
        """Encode, quantize as the step says, and decode."""
        num_codebooks = self.quantization.draw_num_codebooks(len(wave), self.row_shard)
        z = self.model.encoder(self.model.padded(wave)).float()
        with torch.autocast(wave.device.type, enabled=False):
            quantized = self.quantization(
                self.model.quantizer, z, num_codebooks.to(wave.device), step
            )
        return CodecOutputs(self._pair(quantized.z, wave), quantized)

    def _decode_variable_rate(self, wave: Tensor) -> CodecOutputs:
        """Decode codes of the frozen encoder, some of them with a variable rate."""
        num_codebooks = self.quantization.draw_num_codebooks(len(wave), self.row_shard)
        qualities = self.quantization.draw_qualities(len(wave), self.row_shard)
        z = variable_rate.latents(
            self.model, wave, self.silence, num_codebooks.to(wave.device), qualities
        )
        return CodecOutputs(self._pair(z, wave), None)

    def _pair(self, z: Tensor, wave: Tensor) -> WavePair:
        estimate = self.model.sound(z, wave.shape[1])
        return self._compared(WavePair(estimate, wave, self.recipe.loss.resolutions_per_step))

    def _compared(self, pair: WavePair) -> WavePair:
        level = self.recipe.loss.level_rms
        return pair if level is None else pair.at_level(level)

    def _distillation_loss(self, outputs: CodecOutputs) -> Tensor | None:
        quantized = outputs.quantized
        assert self.distillation is not None
        if quantized is None or not quantized.codes.shape[1]:  # none in the bypass
            return None
        first = self.model.quantizer.decode(quantized.codes[:, :1])
        loss: Tensor = self.distillation(first, quantized.z, outputs.pair.target)
        return loss

    def train(self, mode: bool = True) -> CodecObjective:
        super().train(mode)
        if self.recipe.decoder_only:
            # Codebooks of moving averages would follow.
            self.model.quantizer.eval()
        return self

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Losses with a quarter, half and all of the codebooks, and unquantized.

        ``loss`` is the mean over those with codebooks.
        """
        assert isinstance(model, CodecNetwork)
        total = self.model.quantizer.num_codebooks
        waves = torch.from_numpy(self.held_out(0)).to(next(model.parameters()).device)
        metrics: dict[str, float] = {}
        losses = []
        for number in sorted({max(1, total // 4), max(1, total // 2), total}):
            means = self._validate_at(model, waves, number)
            metrics |= {f"{name}@{number}": value for name, value in means.items()}
            losses.append(final_total(self.reconstruction_terms, means))
        means = self._validate_at(model, waves, None)
        metrics |= {f"{name}@unquantized": value for name, value in means.items()}
        return {"loss": float(np.mean(losses)), **metrics}

    def _validate_at(
        self, model: CodecNetwork, waves: Tensor, num_codebooks: int | None
    ) -> dict[str, float]:
        """Mean losses of ``waves`` with so many codebooks; unquantized when None."""
        sums: dict[str, list[float]] = {}
        for wave in waves.split(16):
            kept = None
            if num_codebooks is not None:
                kept = torch.full((len(wave),), num_codebooks, device=wave.device)
            estimate, _ = model(wave, kept, bypass=num_codebooks is None)
            for name, value in evaluate(
                self.reconstruction_terms, self._compared(WavePair(estimate, wave))
            ).items():
                sums.setdefault(name, []).append(float(value))
        return {name: float(np.mean(values)) for name, values in sums.items()}

    @torch.no_grad()
    def validation_samples(self, model: nn.Module) -> dict[str, tuple[Tensor, int]]:
        """The first held-out crops, with all codebooks."""
        waves = torch.from_numpy(self.held_out(0, slice(MAX_CLIPS)))
        estimates, _ = model(waves.to(next(model.parameters()).device))
        return numbered_clips(estimates, self.recipe.codec.sample_rate)

    def validation_originals(self) -> dict[str, tuple[Tensor, int]]:
        waves = torch.from_numpy(self.held_out(0, slice(MAX_CLIPS)))
        return numbered_clips(waves, self.recipe.codec.sample_rate)

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        assert isinstance(model, CodecNetwork)
        hub.save_model(folder, self.recipe.codec, model.weights(), metadata)

    def networks(self) -> list[nn.Module]:
        # Not the quantizer, whose entries start and restart by what the data are.
        return [self.model.encoder, self.model.decoder, *super().networks()]

    def trained(self, phase: str) -> list[nn.Module]:
        modules = super().trained(phase)
        if phase == "model" and self.distillation is not None:
            modules.append(self.distillation)
        return modules


def _pair_of(outputs: CodecOutputs) -> WavePair:
    return outputs.pair


def _quantized_of(outputs: CodecOutputs) -> Quantized | None:
    return outputs.quantized


def _initial(recipe: CodecRecipe, model: CodecNetwork) -> dict[str, Tensor]:
    """Weights that training starts from: another model's, but not those of another quantizer.

    Decoder blocks that the other model lacks are left out too; see :func:`_more_decoder_blocks`.
    """
    config, found = hub.load_model(recipe.init, CodecConfig)
    weights = {current_name(name): value for name, value in found.items()}
    spectral = recipe.codec.spectral
    more = spectral.decoder_blocks - config.spectral.decoder_blocks
    # A name says nothing of the shape.
    same = replace(
        config,
        name=recipe.codec.name,
        quantizer=recipe.codec.quantizer,
        spectral=replace(config.spectral, decoder_blocks=spectral.decoder_blocks),
    )
    if same != recipe.codec or more < 0:
        raise SpeechLMError(f"{recipe.init}: another architecture than that of the recipe")
    if more and recipe.codec.architecture == "spectral":
        weights = _more_decoder_blocks(weights, model, more)
    shapes, wanted = (
        {name: value.shape for name, value in own.items() if name.startswith("quantizer.")}
        for own in (weights, model.weights())
    )
    if shapes != wanted and recipe.decoder_only:
        raise SpeechLMError(
            f"{recipe.init}: another quantizer than that of the recipe; decoder_only keeps codes"
        )
    return {name: weights[name] for name in weights if shapes == wanted or name not in shapes}


def _more_decoder_blocks(
    weights: dict[str, Tensor], model: CodecNetwork, more: int
) -> dict[str, Tensor]:
    """``weights`` for a decoder with ``more`` blocks, the last of which start as the identity."""
    prefix = "decoder.stack.stages."
    stages = list(cast(SpectralDecoder, model.decoder).stack.stages)
    # The stack ends with a norm and a linear map, which follow the blocks.
    first = len(stages) - 2 - more
    moved = {}
    for name, value in weights.items():
        if name.startswith(prefix):
            stage, _, rest = name.removeprefix(prefix).partition(".")
            if int(stage) >= first:
                name = f"{prefix}{int(stage) + more}.{rest}"
        moved[name] = value
    for number in range(first, first + more):
        for name, value in stages[number].state_dict().items():
            # A layer scale of zero: the block adds nothing, but has a gradient.
            moved[f"{prefix}{number}.{name}"] = (
                torch.zeros_like(value) if name == "scale" else value
            )
    return moved


def _splits(config: CodecDataConfig) -> tuple[list[CorpusRecording], list[CorpusRecording]]:
    train: list[CorpusRecording] = []
    dev: list[CorpusRecording] = []
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
