"""Training supervised semantic tokens (``speechlm.tokenizers.ctc_fsq``)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import edit_distance

from speechlm import hub
from speechlm.quantize import codebook_counts
from speechlm.tokenizers import features
from speechlm.tokenizers.ctc_fsq import ConvBlocks, CtcFsqConfig, CtcFsqEncoder, mask
from speechlm.training.config import TrainingConfig
from speechlm.training.losses.terms import LossTerm, Schedule, Weight, evaluate, total_loss
from speechlm.training.transcribed_features import (
    TranscribedFeatures,
    TranscribedFeaturesConfig,
    TranscribedObjective,
    letter_loss,
)


@dataclass
class CtcFsqDecoderConfig:
    """The part of the recogniser after the quantizer, of which the model folder has nothing."""

    blocks: int = 4
    kernel: int = 5
    dropout: float = 0.1


@dataclass
class CtcFsqLossConfig:
    """Weights of the losses, each a number or a schedule
    (:class:`~speechlm.training.losses.terms.Schedule`)."""

    ctc: Weight = 1.0
    """In nats a letter."""
    reconstruction: Weight = 0.1
    """Mean squared error of the teacher's features, standardised."""


@dataclass
class CtcFsqRecipe:
    """The recipe of such a tokenizer. ``time_mask`` is the share of frames that are masked in
    training, in spans of .2 s (SpecAugment, Park et al. 2019). In the first
    ``quantizer_bypass_steps`` steps latents are not quantized."""

    kind: str = "ctc-fsq"
    name: str = "ctc-fsq"
    units: CtcFsqConfig = field(default_factory=CtcFsqConfig)
    decoder: CtcFsqDecoderConfig = field(default_factory=CtcFsqDecoderConfig)
    data: TranscribedFeaturesConfig = field(default_factory=TranscribedFeaturesConfig)
    loss: CtcFsqLossConfig = field(default_factory=CtcFsqLossConfig)
    time_mask: float = 0.1
    quantizer_bypass_steps: int = 250
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass
class CtcFsqOutputs:
    """What the losses are computed from.

    Attributes:
        log_probs: of letters (batch, frames, classes).
        reconstructed: features (batch, frames, dim).
        codes: (batch, 1, tokens).
        batch: what :class:`~speechlm.training.transcribed_features.TranscribedFeatures` gave.
    """

    log_probs: Tensor
    reconstructed: Tensor
    codes: Tensor
    batch: dict[str, Tensor]


class CtcFsqNetwork(nn.Module):
    """The encoder, and the rest of the recogniser."""

    def __init__(
        self, config: CtcFsqConfig, decoder: CtcFsqDecoderConfig, inputs: int, classes: int
    ):
        super().__init__()
        self.config, self.dim = config, inputs
        self.encoder = CtcFsqEncoder(config, inputs, decoder.dropout)
        self.decoder = ConvBlocks(config.dim, decoder.blocks, decoder.kernel, decoder.dropout)
        self.up = nn.Linear(config.dim, config.dim * config.stride)
        self.norm = nn.LayerNorm(config.dim)
        self.letters = nn.Linear(config.dim, classes)
        self.features = nn.Linear(config.dim, inputs)

    def output_heads(self) -> list[nn.Module]:
        """The layers that score letters and reconstruct features."""
        return [self.letters, self.features]

    def forward(self, batch: dict[str, Tensor], bypass: bool = False) -> CtcFsqOutputs:
        """Outputs of ``batch``, from latents that are not quantized where ``bypass``."""
        x, frames = batch["features"], batch["frames"]
        latents, kept = self.encoder(x, frames)
        quantized = self.encoder.quantizer(latents)
        z = latents if bypass else quantized.z
        h = self.up(self.decoder(z.mT, kept))
        h = self.norm(h.unflatten(2, (self.config.stride, -1)).flatten(1, 2)[:, : x.shape[1]])
        log_probs = self.letters(h).float().log_softmax(dim=2)
        return CtcFsqOutputs(log_probs, self.features(h).float(), quantized.codes, batch)


def ctc(outputs: CtcFsqOutputs) -> Tensor:
    """CTC loss, in nats a letter."""
    return letter_loss(outputs.log_probs, outputs.batch)


def reconstruction(outputs: CtcFsqOutputs) -> Tensor:
    """Mean squared error of standardised features; each utterance weighs the same."""
    target = outputs.batch["target"]
    kept = mask(outputs.batch["frames"], target.shape[1])
    errors = (outputs.reconstructed - target).square().mean(dim=2, keepdim=True) * kept
    return (errors.sum(dim=(1, 2)) / outputs.batch["frames"]).mean()


class CtcFsqObjective(TranscribedObjective):
    """Transcripts by CTC, and the teacher's features, from quantized latents."""

    def __init__(self, recipe: CtcFsqRecipe):
        super().__init__()
        training = recipe.training
        torch.manual_seed(training.seed)
        self.recipe = recipe
        teacher = features.build(recipe.units.teacher)
        self.data = TranscribedFeatures(recipe.data, teacher, Path(training.out), training.seed)
        self.identity = f"{teacher.fingerprint} {self.data.letters}"
        self.config = replace(recipe.units, fingerprint=teacher.fingerprint)
        self.model: CtcFsqNetwork = CtcFsqNetwork(
            self.config, recipe.decoder, teacher.dim, len(self.data.letters) + 1
        )
        self.model.encoder.mean, self.model.encoder.scale = self.data.statistics()
        self.terms = [
            LossTerm("ctc", Schedule.parse(recipe.loss.ctc, "loss.ctc"), ctc),
            LossTerm(
                "reconstruction",
                Schedule.parse(recipe.loss.reconstruction, "loss.reconstruction"),
                reconstruction,
            ),
        ]

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.seed_shard()
        x = batch["features"]
        kept = span_mask(x.shape[:2], self.recipe.time_mask, x.device)
        bypass = step < self.recipe.quantizer_bypass_steps
        outputs = self.model(self._with_target(batch | {"features": x * kept}, x), bypass)
        total, values = total_loss(self.terms, outputs, step)
        values["codebook"] = codebook_counts(outputs.codes, self.config.clusters)
        return total, values

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """The losses on held-out utterances, letter error rate by greedy decoding, and perplexity
        of the tokens."""
        assert isinstance(model, CtcFsqNetwork)
        batch = self.held_out(model)
        outputs = model(self._with_target(batch, batch["features"]))
        values = {name: float(value) for name, value in evaluate(self.terms, outputs).items()}
        errors = letters = 0
        for best, frames, (_, truth) in zip(
            outputs.log_probs.argmax(dim=2).cpu(), batch["frames"], self.data.held_out, strict=True
        ):
            spelled = best[: int(frames)].unique_consecutive()
            errors += edit_distance(spelled[spelled > 0].tolist(), truth)
            letters += len(truth)
        tokens = -(-batch["frames"] // self.config.stride)
        codes = outputs.codes[:, 0][mask(tokens, outputs.codes.shape[2])[..., 0] > 0]
        share = torch.bincount(codes, minlength=self.config.clusters) / len(codes)
        perplexity = float(torch.special.entr(share).sum().exp())
        return {
            "loss": values["ctc"],
            **values,
            "letter_errors": errors / letters,
            "perplexity": perplexity,
        }

    def _with_target(self, batch: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """``batch`` and what is reconstructed: standardised features ``x``."""
        encoder = self.model.encoder
        return batch | {"target": (x - encoder.mean) / encoder.scale}

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        assert isinstance(model, CtcFsqNetwork)
        hub.save_model(folder, self.config, model.encoder.state_dict(), metadata)


def span_mask(shape: torch.Size, share: float, device: torch.device, longest: int = 10) -> Tensor:
    """(batch, frames, 1): zero in about ``share`` of the frames, in spans of ``longest``."""
    starts = torch.rand(shape, device=device) < share / longest
    spans = F.max_pool1d(
        F.pad(starts.float(), (longest - 1, 0))[:, None], kernel_size=longest, stride=1
    )
    return 1 - spans[:, 0, :, None]
