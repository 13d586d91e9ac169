"""What a training shows on standard error: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich import progress as rich_progress
from rich.console import Console

INTERVAL = 30.0
"""Seconds between two lines."""


class Progress:
    """Shows nothing: of the processes of a run, one shows its progress."""

    def amount(self, number: float, unit: str) -> None:
        """A step begins on a batch of ``number`` ``unit``s."""

    def plan(self, steps: int) -> None:
        """The last step is ``steps``, as far as is known now."""

    def step(self, step: int) -> None:
        """A step is done."""

    def losses(self, losses: dict[str, float]) -> None:
        """Mean losses by name, when they are logged."""

    def validation(self, loss: float) -> None:
        """The loss of a validation."""


class BarProgress(Progress):
    """A bar of :mod:`rich`."""

    def __init__(self, bar: rich_progress.Progress, start: int, steps: int) -> None:
        self.bar = bar
        self.task = bar.add_task("train", total=steps, completed=start)

    def plan(self, steps: int) -> None:
        self.bar.update(self.task, total=steps)

    def step(self, step: int) -> None:
        self.bar.update(self.task, completed=step)

    def losses(self, losses: dict[str, float]) -> None:
        self.bar.update(self.task, description=_joined(losses))


class LineProgress(Progress):
    """A line every :data:`INTERVAL` seconds and at the end.

    A line has the step, the losses, how much of the data a second takes, and the time left.
    """

    def __init__(
        self, stream: TextIO, start: int, steps: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stream = stream
        self.steps = steps
        self.clock = clock
        self.unit = ""
        self.text = ""
        self._begin(start)

    def _begin(self, step: int) -> None:
        self.number = 0.0
        self.since, self.since_step = self.clock(), step

    def plan(self, steps: int) -> None:
        self.steps = steps

    def amount(self, number: float, unit: str) -> None:
        self.number += number
        self.unit = unit

    def losses(self, losses: dict[str, float]) -> None:
        self.text = _joined(losses)

    def validation(self, loss: float) -> None:
        self._print(f"validation loss {loss:.4f}")

    def step(self, step: int) -> None:
        seconds = self.clock() - self.since
        done = step - self.since_step
        if not done or (seconds < INTERVAL and step < self.steps):
            return
        seconds = max(seconds, 1e-9)
        left = (self.steps - step) * seconds / done
        parts = [
            f"step {step}/{self.steps}",
            self.text,
            f"{self.number / seconds:.1f} {self.unit}/s",
        ]
        if step < self.steps:
            parts.append(f"{_duration(left)} left")
        self._print(", ".join(part for part in parts if part))
        self._begin(step)

    def _print(self, line: str) -> None:
        self.stream.write(f"{line}\n")
        self.stream.flush()


@contextmanager
def progress_display(visible: bool, start: int, steps: int) -> Iterator[Progress]:
    """The display for a run from step ``start`` to ``steps``."""
    if not visible:
        yield Progress()
    elif not sys.stderr.isatty():
        yield LineProgress(sys.stderr, start, steps)
    else:
        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeRemainingColumn(),
        )
        with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
            yield BarProgress(bar, start, steps)


def _joined(losses: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('/', ' ')} {value:.4f}" for name, value in losses.items())


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
