"""What a check finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["pass", "fail", "n/a"]


class NotApplicable(Exception):
    """Raised by a check that has no meaning for a codec; its message is the reason."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Attributes:
        figures: what was measured, by name with its unit.
        reason: why it failed, or does not apply.
    """

    check: str
    status: Status
    figures: Mapping[str, float | str] = field(default_factory=dict)
    reason: str = ""

    @property
    def text(self) -> str:
        """Figures and reason in one line."""
        figures = "; ".join(f"{name} {_short(value)}" for name, value in self.figures.items())
        return ". ".join(part for part in (self.reason, figures) if part)


def _short(value: float | str | None) -> str:
    if value is None:  # of a file: JSON has no infinity
        return "not finite"
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


class Failure(Exception):
    """Raised by a check whose limit is exceeded, with the figures."""

    def __init__(self, reason: str, figures: Mapping[str, float | str] | None = None) -> None:
        super().__init__(reason)
        self.figures = figures or {}


def require(holds: bool, reason: str, figures: Mapping[str, float | str]) -> None:
    """Raises: Failure, unless ``holds``."""
    if not holds:
        raise Failure(reason, figures)
