"""The columns of a suite's table, and a row's value in each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from speechlm.evaluation.clips import Clip
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.recognition.text import character_errors, normaliser, word_errors
from speechlm.evaluation.roundtrip import UNTIMED
from speechlm.evaluation.setup import Plan
from speechlm.evaluation.systems import Spec
from speechlm.evaluation.worker import Outcome


@dataclass(frozen=True)
class Column:
    """How a number is titled and read. ``better`` is None where neither direction is.

    Values of a ``share`` are 0 or 100 per cent.
    """

    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    digits: int
    about: str
    share: bool = False

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
        shown |= error_columns(who.name, plan.config.normaliser)
    return shown | {"delay": DELAY}


def error_columns(who: str, style: str) -> dict[str, Column]:
    """``wer:WHO`` and ``cer:WHO``: errors in what a listener hears."""
    about = f"by {who}, after the normaliser {style!r}; errors of the whole set over its "
    return {
        f"wer:{who}": Column(f"WER {who}", "%", "lower", 1, about + "words"),
        f"cer:{who}": Column(f"CER {who}", "%", "lower", 1, about + "characters"),
    }


def cells(outcome: Outcome, clip: Clip, spec: Spec, plan: Plan) -> dict[str, Score]:
    """A row's score in every column."""
    coded = outcome.coded
    if coded is None:
        return {name: failed(outcome.error) for name in columns(plan)}
    system = plan.present[spec]
    bits = 8 * coded.file_bytes if system.compared == "file" else coded.payload_bits
    found = {
        "kbps": Score(bits / coded.seconds / 1000, weight=coded.seconds),
        "delay": Score(1000 * coded.delay),
        **outcome.scores,
    }
    if not system.timed:
        moments = "delay", *(metric.name for metric in plan.metrics if metric.timed)
        found |= dict.fromkeys(moments, failed(UNTIMED))
    for who, made in plan.listeners.items():
        reason = made if isinstance(made, str) else outcome.unheard.get(who.name, "")
        text = outcome.texts.get(who.name, "")
        found |= error_cells(who.name, clip.text, text, reason, plan.config.normaliser)
    return found


def error_cells(
    who: str, text: str | None, heard: str, reason: str, style: str
) -> dict[str, Score]:
    """Scores of :func:`error_columns`; ``reason`` says why nothing could be heard, if so."""
    names = f"wer:{who}", f"cer:{who}"
    said = normaliser(style)(text) if text and not reason else ""
    if not said:
        reason = reason or ("the transcript has no words" if text else "no transcript")
        return {name: failed(reason) for name in names}
    both = (count(said, normaliser(style)(heard)) for count in (word_errors, character_errors))
    return {
        name: Score(100 * errors.rate, weight=errors.total)
        for name, errors in zip(names, both, strict=True)
    }
