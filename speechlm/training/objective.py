"""What a model family gives to the training loop."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from speechlm.nn.collective import Share


class Objective(nn.Module):
    """A model with its losses and data.

    A step takes ``turns`` in order, each with its own parameters and optimizer: one for most
    models, two where a discriminator is trained against the model. A turn may be taken in parts:
    their losses are averaged. Everything random in a step comes from torch's generator, which the
    loop seeds for each turn, in all processes and parts alike, and from ``batch``.
    """

    turns: tuple[str, ...] = ("model",)
    share = Share()
    """Of each batch, what falls to this process; within ``forward``, to this part. The loop sets
    it."""
    sharded = False
    """Whether FSDP may shard it: no weight is changed but by its optimizer."""
    model: nn.Module
    """What is averaged, validated and exported."""
    identity = ""
    """What the numbers that it learns stand for, such as the units of which weights: a run that is
    resumed must find the same, or what it learnt is of others."""

    @abstractmethod
    def batch(self, step: int) -> dict[str, Tensor]:
        """This process's share of the batch of this step, which is a function of the step alone."""

    def parts(self, batch: dict[str, Tensor], count: int) -> list[dict[str, Tensor]]:
        """A batch in ``count`` parts of as many rows, on the device.

        Raises:
            SpeechLMError: when its rows cannot be shared evenly by the parts.
        """
        shares = [Share(index, count) for index in range(count)]
        return [
            {name: value[share.rows(len(value))] for name, value in batch.items()}
            for share in shares
        ]

    @abstractmethod
    def forward(
        self, batch: dict[str, Tensor], turn: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a turn, and what to log of it."""

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Figures of ``model`` (the averaged weights) on held-out data; ``loss`` among them."""

    @abstractmethod
    def export(self, model: nn.Module, folder: Path, facts: dict[str, Any]) -> None:
        """Write a model folder that the family's ``from_pretrained`` loads."""

    def active(self, turn: str, step: int) -> bool:
        """Whether a turn is taken at this step."""
        return True

    def trained(self, turn: str) -> list[nn.Module]:
        """The modules whose trainable parameters the optimizers of a turn own."""
        return [self.model]
