"""The interface between a model family and the trainer."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechlm.utils import distributed
from speechlm.utils.distributed import Shard


class Objective(nn.Module):
    """A model with its losses and data.

    A step consists of ``phases`` in order, each with parameters and an optimizer of its own: one
    for most models, two where a discriminator is trained against the model. A phase may be split
    into micro-batches, whose losses are averaged. All randomness of a step comes from torch's
    generator, which the trainer seeds for each phase, alike in all processes and micro-batches, and
    from :meth:`batch`.

    Attributes:
        phases: names of the phases, in order.
        shard: the shard of each batch that this process takes; set by the trainer.
        supports_fsdp: whether FSDP may shard the weights: only the optimizers change them.
        model: the network that is averaged, validated and exported.
        selects_best: whether the model of the lowest validation loss is exported; else the last.
        identity: what the data's ids stand for, such as the hash of the tokenizer's weights. A run
            resumes only where it is the same.
    """

    phases: tuple[str, ...] = ("model",)
    shard = Shard()
    supports_fsdp = False
    model: nn.Module
    selects_best = True
    identity = ""

    @abstractmethod
    def batch(self, step: int) -> dict[str, Tensor]:
        """This process's shard of the batch of ``step``: a pure function of seed and step.

        It is called in another thread than the steps, and must not use torch's global generator.
        """

    def place_data(self, device: torch.device) -> None:
        """Called once, before training: may keep the training data on ``device``."""

    @property
    def row_shard(self) -> Shard:
        """Within :meth:`forward`: the shard of the whole batch that its rows are."""
        return self.shard.split(distributed.current_micro_batch())

    def micro_batches(self, batch: dict[str, Tensor], count: int) -> list[dict[str, Tensor]]:
        """Split a batch on the device into ``count`` micro-batches of as many rows.

        Raises:
            SpeechLMError: when the number of rows is not divisible by ``count``.
        """
        shards = [Shard(index, count) for index in range(count)]
        return [
            {name: value[shard.rows(len(value))] for name, value in batch.items()}
            for shard in shards
        ]

    @abstractmethod
    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a phase, and what to log: scalars, and histograms of codes.

        Histograms are of shape (num_codebooks, codebook_size); see
        :class:`speechlm.training.metrics.MetricAccumulator`.
        """

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Metrics of ``model`` (with averaged weights) on held-out data, with the key ``loss``."""

    def validation_samples(self, model: nn.Module) -> dict[str, tuple[Tensor, int]]:
        """Waveforms (samples,) of fixed held-out clips, with their sample rates, by name.

        They are logged after each validation; by default there are none.
        """
        return {}

    def validation_originals(self) -> dict[str, tuple[Tensor, int]]:
        """The clips of :meth:`validation_samples` as recorded, by the same names."""
        return {}

    @abstractmethod
    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        """Write a model folder that the family's ``from_pretrained`` loads."""

    def active(self, phase: str, step: int) -> bool:
        """Whether ``phase`` is run at this step."""
        return True

    def trained(self, phase: str) -> list[nn.Module]:
        """The modules whose trainable parameters the optimizers of ``phase`` update."""
        return [self.model]

    def networks(self) -> list[nn.Module]:
        """What ``training.compile`` compiles: modules that a step calls with few shapes of inputs.

        By default there are none.
        """
        return []

    def rate_scale(self, phase: str) -> float:
        """Factor on the learning rate of ``phase``."""
        return 1.0

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        """How much a batch of this process holds, and of what: for the rate that is displayed."""
        return float(len(next(iter(batch.values())))), "examples"
