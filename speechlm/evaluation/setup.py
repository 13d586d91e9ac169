"""What a suite comes to on this machine: which clips, which systems, which judges."""

from __future__ import annotations

from dataclasses import dataclass, field

from speechlm.errors import SpeechLMError
from speechlm.evaluation import recognition, systems
from speechlm.evaluation.clips import Clip, find
from speechlm.evaluation.config import RecogniserConfig, SuiteConfig
from speechlm.evaluation.metrics import Metric, named
from speechlm.evaluation.recognition import Listener, Recogniser
from speechlm.evaluation.recognition.text import normaliser
from speechlm.evaluation.systems import Spec, System


@dataclass(frozen=True)
class Plan:
    """Everything that a suite needs before its first clip.

    ``systems`` and ``listeners`` keep the suite's order, and hold what runs on this machine or
    the one-line reason why it does not.
    """

    config: SuiteConfig
    clips: list[Clip]
    metrics: list[Metric]
    systems: dict[Spec, System | str] = field(default_factory=dict)
    listeners: dict[Listener, Recogniser | str] = field(default_factory=dict)

    @property
    def present(self) -> dict[Spec, System]:
        """The systems that run here."""
        return {spec: made for spec, made in self.systems.items() if isinstance(made, System)}

    @property
    def hearing(self) -> dict[Listener, Recogniser]:
        """The listeners that run here."""
        return {who: made for who, made in self.listeners.items() if isinstance(made, Recogniser)}


def prepare(config: SuiteConfig) -> Plan:
    """Find the clips and try every system and judge.

    Raises:
        SpeechLMError: for a declaration that makes no sense, or when no system runs here.
    """
    plan = Plan(config, find(config.clips), named(config.metrics))
    for family, system in config.systems.items():
        for spec in systems.specs(family, system, config.sample_rate) if system else []:
            try:
                plan.systems[spec] = systems.build(spec)
            except SpeechLMError as reason:  # such as Absent, or a model that is not there
                plan.systems[spec] = str(reason)
    if not plan.present:
        reasons = "; ".join(f"{spec.name}: {reason}" for spec, reason in plan.systems.items())
        raise SpeechLMError(f"no system of the suite runs here: {reasons}")
    plan.listeners.update(listeners(config.recognisers, config.normaliser))
    return plan


def listeners(
    declared: dict[str, RecogniserConfig | None], style: str
) -> dict[Listener, Recogniser | str]:
    """The recognisers that a suite declares, or why one does not run here.

    Raises:
        SpeechLMError: for a declaration that makes no sense.
    """
    if declared:
        normaliser(style)
    found: dict[Listener, Recogniser | str] = {}
    for name, recogniser in declared.items():
        if recogniser:
            listener = Listener.of(name, recogniser)
            try:
                found[listener] = recognition.build(listener)
            except recognition.Unusable as reason:
                found[listener] = str(reason)
    return found
