"""Prepare, train, compare, and write the card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from speechlm import hub
from speechlm.adapt.card import write_card
from speechlm.adapt.codec import CodecAdaptation
from speechlm.adapt.comparison import ComparisonRow
from speechlm.adapt.lm import LMAdaptation
from speechlm.adapt.options import AdaptOptions
from speechlm.adapt.recordings import prepare_recordings
from speechlm.adapt.vocoder import VocoderAdaptation
from speechlm.data.corpus import PreparedCorpus
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.objective import Objective
from speechlm.training.trainer import train

STEPS = 1_000_000
"""More than any time budget has."""


class Adaptation(Protocol):
    """A family of models that can be adapted.

    Attributes:
        family: ``codec``, ``vocoder`` or ``lm``.
        sample_rate: of its recordings, in Hz.
    """

    family: str
    sample_rate: int

    def optimizer(self) -> OptimizerConfig:
        """Low rates, since the model is trained already."""

    def objective(self, training: TrainingConfig) -> Objective:
        """What is trained, on the prepared corpus."""

    def finish(self) -> list[str]:
        """Complete the model folder; lines to print."""

    def compare(self) -> list[ComparisonRow]:
        """The models before and after, on the held-out recordings."""


FAMILIES: dict[str, Callable[[AdaptOptions], Adaptation]] = {
    "codec": CodecAdaptation,
    "lm": LMAdaptation,
    "vocoder": VocoderAdaptation,
}


@dataclass(frozen=True)
class Adapted:
    """A finished adaptation.

    Attributes:
        model: the folder of the adapted model.
        corpus: the prepared recordings.
        rows: the comparison.
        notes: what else to know, a line each.
        facts: of the training: ``step``, validation losses.
    """

    model: Path
    corpus: PreparedCorpus
    rows: list[ComparisonRow]
    notes: list[str]
    facts: dict[str, Any]


def adapt(family: str, options: AdaptOptions, say: Callable[[str], None]) -> Adapted:
    """Adapt a model of a ``family`` (``codec``, ``vocoder`` or ``lm``).

    Run again, it continues: what is prepared, trained and evaluated stays.

    Args:
        say: prints a line about what comes next.

    Raises:
        SpeechLMError: for recordings, a model or an output folder that cannot be used.
        Interrupted: after SIGINT or SIGTERM in training, with a checkpoint.
    """
    adaptation = FAMILIES[family](options)
    options.claim(family)
    corpus = prepare_recordings(options, adaptation.sample_rate)
    counts = corpus.utterances
    say(
        f"recordings: {counts['train']} to train on ({corpus.minutes['train']:.1f} min); held "
        f"out, by a hash of the name: {counts['dev']} for validation, {counts['test']} for the "
        "comparison"
    )
    training = TrainingConfig(
        out=str(options.out),
        steps=STEPS,
        minutes=options.minutes,
        precision="bf16",
        ema_decay=0.995,
        validate_every=250,
        checkpoint_every=100,
        optimizer=adaptation.optimizer(),
    )
    train(training, adaptation.objective(training))
    notes = adaptation.finish()
    facts = hub.load_facts(options.adapted)
    say(f"trained: {facts['step']} steps; comparing on {counts['test']} held-out recordings")
    rows = adaptation.compare()
    write_card(options, corpus, rows, notes, facts)
    return Adapted(options.adapted, corpus, rows, notes, facts)
