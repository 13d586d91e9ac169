"""What the log of a run says: each metric over the steps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechlm.errors import SpeechLMError
from speechlm.training.metrics_logger import LOG, SUPERSEDED

KINDS = ("train", "valid")


@dataclass
class RunLog:
    """The lines of ``log.jsonl``, by kind of line, step and metric.

    Attributes:
        lines: ``{"train": {step: {metric: value}}, "valid": ...}``, in order of steps.
        unreadable: lines that are none, such as the last one of a run that was killed.
        superseded: lines of steps that a resumed run took again.
        earlier: logs of earlier runs in this folder (``log.1.jsonl``), and their lines.
    """

    lines: dict[str, dict[int, dict[str, float]]]
    unreadable: int = 0
    superseded: int = 0
    earlier: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, run: Path) -> RunLog:
        """The log of a run folder.

        Raises:
            SpeechLMError: where there is none, or it has no entry.
        """
        if not run.is_dir():
            raise SpeechLMError(f"{run}: no such folder")
        if not (run / LOG).is_file():
            raise SpeechLMError(
                f"{run}: has no {LOG}, so it is no run folder; give training.out of a recipe"
            )
        log = cls({kind: {} for kind in KINDS})
        for line in _lines(run / LOG):
            log._add(line)
        log.lines = {kind: dict(sorted(steps.items())) for kind, steps in log.lines.items()}
        if not any(log.lines.values()):
            raise SpeechLMError(f"{run / LOG}: has no entry yet; wait for the first one")
        if (run / SUPERSEDED).is_file():
            log.superseded = len(_lines(run / SUPERSEDED))
        numbered = [path for path in run.glob("log.*.jsonl") if path.suffixes[0][1:].isdigit()]
        for path in sorted(numbered, key=lambda path: int(path.suffixes[0][1:])):
            log.earlier[path.name] = len(_lines(path))
        return log

    @property
    def last_step(self) -> int:
        """The step of the last line."""
        return max(step for steps in self.lines.values() for step in steps)

    def seconds(self) -> float:
        """Seconds that the steps of the log took, without validation."""
        total, before = 0.0, 0
        for step, values in self.lines["train"].items():
            total += values.get("seconds", 0.0) * (step - before)
            before = step
        return total

    def _add(self, line: str) -> None:
        try:
            entry: dict[str, Any] = json.loads(line)
            step, values = int(entry.pop("step")), self.lines[entry.pop("kind")]
        except (ValueError, KeyError, TypeError, AttributeError):
            self.unreadable += 1
            return
        values[step] = {
            name: float(value)
            for name, value in entry.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }


def _lines(path: Path) -> list[str]:
    text = path.read_text("utf-8", errors="replace")
    return [line for line in text.splitlines() if line.strip()]
