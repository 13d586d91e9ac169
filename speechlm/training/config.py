"""What every recipe can set about its training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class OptimizerConfig:
    """``kind`` is ``adamw``, or ``muon``: Muon (Jordan et al. 2024) for the weight matrices of
    linear layers within the network and AdamW for the rest, that is for embeddings, output heads,
    quantizers, convolutions and vectors. Muon's updates are scaled to the size of AdamW's, so one
    rate serves both."""

    kind: str = "adamw"
    rate: float = 1e-3
    warmup: int = 500
    """Steps of linear warm-up; then half a cosine down to ``final`` times the rate."""
    final: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""


@dataclass
class TrainingConfig:
    """The training loop. Intervals are in steps."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "accumulate": "gradient_accumulation_steps",
        "average": "ema_decay",
    }

    out: str = "runs/${name}"
    """Run folder: checkpoint, log and the exported model."""
    seed: int = 0
    steps: int = 1000
    minutes: float | None = None
    """Time budget: training ends after so many minutes of steps and validations, summed over
    restarts, or after ``steps`` if that is sooner. The rate falls with the time, so that two such
    runs are not equal."""
    precision: str = "no"
    """accelerate's mixed precision: ``no``, ``bf16`` or ``fp16``."""
    compile: bool = False
    """Whether networks are compiled by ``torch.compile``, which takes a minute or more at the start
    and a C++ compiler; not beside FSDP. For codecs, vocoders and language models."""
    gradient_accumulation_steps: int = 1
    """Micro-batches, one after the other, into which each process splits its rows of a batch: the
    same step in less memory."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights, which is what is validated and exported."""
    log_every: int = 20
    validate_every: int = 500
    checkpoint_every: int = 200
    keep_models: bool = False
    """Whether the model of every validation stays, in ``models/STEP`` of the run folder."""
    resume: str = "auto"
    """``auto`` continues the checkpoint in ``out`` if there is one; ``never`` starts anew."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
