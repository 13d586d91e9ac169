"""An adversarial phase, for models of waveforms."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from speechlm.training.discriminators import (
    Discriminators,
    discriminator_loss,
    feature_loss,
    generator_loss,
)
from speechlm.training.objective import Objective


@dataclass
class AdversarialConfig:
    """An adversarial phase: from ``start`` on (never, when null), against small discriminators."""

    start: int | None = None
    windows: list[int] = field(default_factory=lambda: [256, 512, 1024])
    channels: int = 16
    weight: float = 0.1
    """Of the adversarial loss."""
    feature: float = 1.0
    """Of feature matching."""


class AdversarialObjective(Objective):
    """An objective whose estimates discriminators may be trained to tell from the waveforms."""

    adversarial: AdversarialConfig
    discriminators: Discriminators | None

    def oppose(self, config: AdversarialConfig) -> None:
        """Set the phase up; once, after the model."""
        self.adversarial = config
        # What the model's turn made, by part, for the discriminators' turn.
        self._estimates: dict[int, Tensor] = {}
        self.discriminators = None
        if config.start is not None:
            self.discriminators = Discriminators(config.windows, config.channels)
            self.turns = ("model", "discriminator")

    def active(self, turn: str, step: int) -> bool:
        start = self.adversarial.start
        return turn == "model" or (start is not None and step >= start)

    def discriminate(self, wave: Tensor) -> Tensor:
        """The loss of the discriminators' turn: of ``wave`` and the estimate last deceived with."""
        assert self.discriminators is not None
        fake = self.discriminators(self._estimates.pop(self.share.index))
        return discriminator_loss(self.discriminators(wave), fake)

    def deceive(
        self, total: Tensor, terms: dict[str, Tensor], estimate: Tensor, wave: Tensor, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The model's loss and its terms, with those of the phase if it has begun."""
        if self.discriminators is None or not self.active("discriminator", step):
            return total, terms
        real, fake = self.discriminators(wave), self.discriminators(estimate)
        terms = terms | {"adversarial": generator_loss(fake), "feature": feature_loss(real, fake)}
        total = total + self.adversarial.weight * terms["adversarial"]
        total = total + self.adversarial.feature * terms["feature"]
        self._estimates[self.share.index] = estimate.detach()
        return total, terms

    def trained(self, turn: str) -> list[nn.Module]:
        if turn == "discriminator":
            assert self.discriminators is not None
            return [self.discriminators]
        return super().trained(turn)
