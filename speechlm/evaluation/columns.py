"""The columns of a suite's table, and a row's value in each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from speechlm.evaluation.clips import Clip
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.plan import Plan
from speechlm.evaluation.recognition import Listener
from speechlm.evaluation.recognition.text import character_errors, normaliser, word_errors
from speechlm.evaluation.systems import Spec
from speechlm.evaluation.work import Outcome


@dataclass(frozen=True)
class Column:
    """How a number is titled and read. ``better`` is None where neither direction is."""

    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    digits: int
    about: str

    @property
    def facts(self) -> dict[str, Any]:
        return asdict(self)


RATE = Column("Real rate", "kbps", "lower", 2, "bits over seconds of the whole set")
DELAY = Column("Delay", "ms", None, 1, "found between original and output, and removed")


def columns(plan: Plan) -> dict[str, Column]:
    """By name: ``kbps``, the metrics, ``wer:NAME`` and ``cer:NAME`` a listener, ``delay``."""
    shown = {"kbps": RATE}
    for metric in plan.metrics:
        shown[metric.name] = Column(
            metric.title, metric.unit, metric.better, metric.digits, metric.about
        )
    for who in plan.listeners:
        about = f"by {who.name}, after the normaliser {plan.config.normaliser!r}; errors of the "
        shown[f"wer:{who.name}"] = Column(
            f"WER {who.name}", "%", "lower", 1, about + "whole set over its words"
        )
        shown[f"cer:{who.name}"] = Column(
            f"CER {who.name}", "%", "lower", 1, about + "whole set over its characters"
        )
    return shown | {"delay": DELAY}


def cells(outcome: Outcome, clip: Clip, spec: Spec, plan: Plan) -> dict[str, Score]:
    """A row's score in every column."""
    coded = outcome.coded
    if coded is None:
        return {name: failed(outcome.error) for name in columns(plan)}
    by_file = plan.present[spec].compared == "file"
    bits = 8 * coded.file_bytes if by_file else coded.payload_bits
    found = {
        "kbps": Score(bits / coded.seconds / 1000, weight=coded.seconds),
        "delay": Score(1000 * coded.delay),
        **outcome.scores,
    }
    for who, made in plan.listeners.items():
        reason = made if isinstance(made, str) else outcome.unheard.get(who.name, "")
        text = outcome.texts.get(who.name, "")
        found |= _errors(who, clip, text, reason, plan.config.normaliser)
    return found


def _errors(who: Listener, clip: Clip, heard: str, reason: str, style: str) -> dict[str, Score]:
    names = f"wer:{who.name}", f"cer:{who.name}"
    said = normaliser(style)(clip.text) if clip.text and not reason else ""
    if not said:
        reason = reason or ("the transcript has no words" if clip.text else "no transcript")
        return {name: failed(reason) for name in names}
    both = (count(said, normaliser(style)(heard)) for count in (word_errors, character_errors))
    return {
        name: Score(100 * errors.rate, weight=errors.total)
        for name, errors in zip(names, both, strict=True)
    }
