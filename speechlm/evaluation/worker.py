"""What a worker process does: one clip through one system, and the judgements still missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from speechlm.evaluation import recognition, systems
from speechlm.evaluation.clips import Clip
from speechlm.evaluation.metrics import Score, named
from speechlm.evaluation.metrics.resample import resample
from speechlm.evaluation.recognition import Listener
from speechlm.evaluation.roundtrip import Coded, code, lined_up
from speechlm.evaluation.systems import Failed, Spec


@dataclass(frozen=True)
class RowTask:
    """A row that is not finished. ``coded`` is None while ``target`` (FLAC) is still to be made.

    ``timed`` is the system's.
    """

    spec: Spec
    clip: Clip
    sample_rate: int
    target: Path
    coded: Coded | None
    metrics: tuple[str, ...]
    listeners: tuple[Listener, ...]
    timed: bool = True


@dataclass
class Outcome:
    """What is known of a row: an ``error``, or the coded clip with its scores and what was heard.

    A listener that could not hear a row has its reason in ``unheard`` and no text.
    """

    coded: Coded | None = None
    error: str = ""
    scores: dict[str, Score] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unheard: dict[str, str] = field(default_factory=dict)


def perform(task: RowTask) -> Outcome:
    """Do what ``task`` asks, in this process."""
    reference = task.clip.read(task.sample_rate)
    outcome = Outcome(task.coded)
    if outcome.coded is None:
        try:
            system = systems.build(task.spec)
            outcome.coded = code(system, reference, task.sample_rate, task.target)
        except Failed as reason:
            return Outcome(error=str(reason))
        except Exception as error:  # a codec's crash costs its own row, and is shown there
            return Outcome(error=f"{type(error).__name__}: {error}")
    pair = lined_up(reference, task.target, task.timed)
    for metric in named(task.metrics):
        outcome.scores[metric.name] = metric(pair.reference, pair.estimate, task.sample_rate)
    for listener in task.listeners:
        try:
            wave = resample(pair.estimate, task.sample_rate, recognition.RATE)
            outcome.texts[listener.name] = recognition.build(listener).transcribe(wave)
        except recognition.Unusable as reason:
            outcome.unheard[listener.name] = str(reason)
        except Exception as error:  # as above: a judge's crash is shown in its cell
            outcome.unheard[listener.name] = f"{type(error).__name__}: {error}"
    return outcome
