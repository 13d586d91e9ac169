"""Named, weighted terms of a training loss, and weights that change during training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from speechlm.errors import SpeechLMError

Outputs = TypeVar("Outputs")
Whole = TypeVar("Whole")

Weight = Any
"""In a configuration: a number, or ``{from: x, to: y, start: step, end: step}``."""


@dataclass(frozen=True)
class Schedule:
    """A number that is a function of the step: ``initial`` before ``start``, ``final`` from ``end``
    on, and linear in between. With ``start == end`` it is a jump at that step.
    """

    initial: float
    final: float
    start: int = 0
    end: int = 0

    @classmethod
    def parse(cls, value: Weight, key: str) -> Schedule:
        """The schedule that a recipe declares under ``key``: a :data:`Weight`.

        Raises:
            SpeechLMError: naming ``key``, when it is neither a number nor a schedule.
        """
        if _is_number(value):
            return cls(float(value), float(value))
        names = {"from", "to", "start", "end"}
        if isinstance(value, Mapping) and set(value) == names:
            initial, final, start, end = (value[name] for name in ("from", "to", "start", "end"))
            steps = isinstance(start, int) and isinstance(end, int) and 0 <= start <= end
            if _is_number(initial) and _is_number(final) and steps:
                return cls(float(initial), float(final), start, end)
        raise SpeechLMError(
            f"{key}: is a number or {{from: x, to: y, start: step, end: step}} with "
            f"0 <= start <= end, not {value}"
        )

    def __call__(self, step: int) -> float:
        if step >= self.end:
            return self.final
        if step < self.start:
            return self.initial
        return self.initial + (self.final - self.initial) * (step - self.start) / (
            self.end - self.start
        )

    @property
    def is_zero(self) -> bool:
        """Whether it is zero at every step."""
        return self.initial == self.final == 0


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


@dataclass(frozen=True)
class LossTerm(Generic[Outputs]):
    """One term of a loss.

    Attributes:
        name: under which it is logged.
        weight: its factor in the total loss.
        function: computes it, a scalar, from what the forward pass gave; None where it does not
            apply, as a quantizer's loss in a step without it.
        start: the first step at which it counts.
    """

    name: str
    weight: Schedule
    function: Callable[[Outputs], Tensor | None]
    start: int = 0

    def weight_at(self, step: int) -> float:
        """The factor at ``step``; zero before ``start``."""
        return self.weight(step) if step >= self.start else 0.0

    def of(self, select: Callable[[Whole], Outputs | None]) -> LossTerm[Whole]:
        """The same term, computed from the part of other outputs that ``select`` returns.

        It does not apply where that is None.
        """

        def function(outputs: Whole) -> Tensor | None:
            part = select(outputs)
            return None if part is None else self.function(part)

        return LossTerm(self.name, self.weight, function, self.start)


def total_loss(
    terms: Sequence[LossTerm[Outputs]], outputs: Outputs, step: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the terms at ``step``, and the value of each by name, unweighted.

    Terms whose weight is zero at ``step`` are not computed.

    Raises:
        SpeechLMError: when none is left.
    """
    values: dict[str, Tensor] = {}
    weighted = []
    for term in terms:
        weight = term.weight_at(step)
        value = term.function(outputs) if weight else None
        if value is not None:
            values[term.name] = value
            weighted.append(weight * value)
    if not weighted:
        names = ", ".join(term.name for term in terms)
        raise SpeechLMError(f"loss: at step {step} no term has a weight (of {names})")
    return torch.stack(weighted).sum(), values


def evaluate(terms: Sequence[LossTerm[Outputs]], outputs: Outputs) -> dict[str, Tensor]:
    """The value of each term that applies by name, whatever its weight: for validation."""
    values = {term.name: term.function(outputs) for term in terms}
    return {name: value for name, value in values.items() if value is not None}


def final_total(terms: Sequence[LossTerm[Any]], values: Mapping[str, float]) -> float:
    """The weighted sum of ``values`` with the weights at the end of their schedules.

    Validation losses use it, so that they compare across steps.
    """
    return sum(term.weight.final * values[term.name] for term in terms)
