"""An adversarial phase, for models of waveforms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from speechlm.errors import SpeechLMError
from speechlm.training.discriminators import DiscriminatorConfig, Discriminators
from speechlm.training.losses.adversarial import (
    ADVERSARIAL_LOSSES,
    Features,
    discriminator_loss,
    generator_loss,
)
from speechlm.training.losses.feature_matching import feature_matching_loss
from speechlm.training.losses.terms import LossTerm, Schedule, Weight
from speechlm.training.losses.wave_pair import WavePair
from speechlm.training.objective import Objective


@dataclass
class AdversarialConfig:
    """An adversarial phase from step ``start`` on (never, when null)."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "windows": "discriminators.stft_windows",
        "channels": "discriminators.stft_channels",
        "feature": "feature_matching",
    }

    start: int | None = None
    loss: str = "hinge"
    """``hinge`` or ``least-squares``."""
    weight: Weight = 0.1
    """Of the adversarial loss of the model."""
    feature_matching: Weight = 1.0
    """Of feature matching."""
    rate_scale: float = 1.0
    """Factor on the learning rate of the discriminators."""
    examples: int | None = None
    """How many examples of a batch (in each process and micro-batch) the discriminators read; all
    when null."""
    discriminators: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)


class AdversarialObjective(Objective):
    """An objective with discriminators that are trained to tell its estimates from the targets."""

    adversarial: AdversarialConfig
    discriminators: Discriminators | None

    def setup_gan(self, config: AdversarialConfig) -> None:
        """Build the discriminators, if any; to be called once, after the model is built.

        Raises:
            SpeechLMError: for an unknown loss, or discriminators that cannot be built.
        """
        self.adversarial = config
        if config.loss not in ADVERSARIAL_LOSSES:
            known = " or ".join(ADVERSARIAL_LOSSES)
            raise SpeechLMError(f"adversarial.loss is {known}, not {config.loss!r}")
        self.adversarial_loss = ADVERSARIAL_LOSSES[config.loss]
        # The estimates of the model's phase by micro-batch, for the phase of the discriminators.
        self._estimates: dict[int, Tensor] = {}
        self.discriminators = None
        if config.start is not None:
            self.discriminators = Discriminators(config.discriminators)
            self.phases = ("model", "discriminator")
            # Validation losses compare spectra, which an adversarial phase makes no closer.
            self.selects_best = False

    def active(self, phase: str, step: int) -> bool:
        start = self.adversarial.start
        return phase == "model" or (start is not None and step >= start)

    def rate_scale(self, phase: str) -> float:
        return self.adversarial.rate_scale if phase == "discriminator" else 1.0

    def gan_terms(self) -> list[LossTerm[WavePair]]:
        """The model's terms of the phase: none without discriminators."""
        if self.discriminators is None:
            return []
        config = self.adversarial
        assert config.start is not None
        return [
            LossTerm(
                "adversarial",
                Schedule.parse(config.weight, "adversarial.weight"),
                lambda pair: generator_loss(self._features(pair)[1], self.adversarial_loss),
                config.start,
            ),
            LossTerm(
                "feature_matching",
                Schedule.parse(config.feature_matching, "adversarial.feature_matching"),
                lambda pair: feature_matching_loss(*self._features(pair)),
                config.start,
            ),
        ]

    def keep_estimate(self, estimate: Tensor, step: int) -> None:
        """Keep what the model's phase synthesised, for the discriminators' phase of this step."""
        if self.active("discriminator", step):
            kept = estimate.detach()[: self.adversarial.examples]
            self._estimates[self.row_shard.index] = kept

    def discriminator_loss(self, wave: Tensor) -> Tensor:
        """The loss of the discriminators' phase, of ``wave`` and the estimate that was kept."""
        assert self.discriminators is not None
        wave = wave[: self.adversarial.examples]
        fake = self.discriminators(self._estimates.pop(self.row_shard.index))
        return discriminator_loss(self.discriminators(wave), fake, self.adversarial_loss)

    def _features(self, pair: WavePair) -> tuple[list[Features], list[Features]]:
        """The discriminators' features of the target and of the estimate."""
        discriminators = self.discriminators
        assert discriminators is not None
        pair = pair.first(self.adversarial.examples)
        return pair.cached(
            "discriminators", lambda: (discriminators(pair.target), discriminators(pair.estimate))
        )

    def networks(self) -> list[nn.Module]:
        """The discriminators; what inherits adds its model."""
        return [] if self.discriminators is None else [*self.discriminators.each]

    def trained(self, phase: str) -> list[nn.Module]:
        if phase == "discriminator":
            assert self.discriminators is not None
            return [self.discriminators]
        return super().trained(phase)
