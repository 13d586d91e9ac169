"""All checks on a subject, and the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from speechlm.conformance.checks import CHECKS
from speechlm.conformance.result import CheckResult, Failure, NotApplicable
from speechlm.conformance.subject import Subject
from speechlm.errors import SpeechLMError
from speechlm.types import Wave
from speechlm.utils.processes import progress


@dataclass(frozen=True)
class ConformanceReport:
    """The outcomes of a subject."""

    subject: str
    outcomes: list[CheckResult]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(outcome.status != "fail" for outcome in self.outcomes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> Table:
        table = Table("check", "", "figures", title=Text(self.subject))
        colours = {"pass": "green", "fail": "red", "n/a": "dim"}
        for outcome in self.outcomes:
            status = Text(outcome.status, style=colours[outcome.status])
            table.add_row(outcome.check, status, Text(outcome.text))
        return table


def run(subject: Subject, waves: list[Wave], names: Iterable[str] = CHECKS) -> ConformanceReport:
    """Run the checks ``names``. One that raises an unexpected error fails with its message."""
    chosen, outcomes = list(names), []
    with progress("", len(chosen)) as advance:
        for name in chosen:
            outcomes.append(_outcome(name, subject, waves))
            advance(name)
    return ConformanceReport(subject.name, outcomes)


def _outcome(name: str, subject: Subject, waves: list[Wave]) -> CheckResult:
    try:
        return CheckResult(name, "pass", CHECKS[name](subject, waves))
    except NotApplicable as reason:
        return CheckResult(name, "n/a", reason=str(reason))
    except Failure as failure:
        return CheckResult(name, "fail", failure.figures, str(failure))
    except Exception as error:  # whatever a codec raises is a finding about it
        return CheckResult(name, "fail", reason=f"{type(error).__name__}: {error}")


def read_report(path: Path) -> dict[str, Any]:
    """What :meth:`ConformanceReport.to_json` gave, from a file.

    Raises:
        SpeechLMError: when it is no such file.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
        for result in report["outcomes"]:
            CheckResult(**result)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpeechLMError(f"{path}: holds no results of speechlm conform: {error}") from None
    return {"subject": str(report["subject"]), "outcomes": report["outcomes"]}


def markdown(reports: Sequence[dict[str, Any]]) -> str:
    """A table of reports (as :meth:`ConformanceReport.to_json` gives them): a row a check."""
    names = [report["subject"] for report in reports]
    rows = ["| check | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    checks = list(dict.fromkeys(one["check"] for report in reports for one in report["outcomes"]))
    for check in checks:
        cells = []
        for report in reports:
            found = [CheckResult(**one) for one in report["outcomes"] if one["check"] == check]
            cells.append(f"{found[0].status}: {found[0].text}" if found else "")
        rows.append(f"| {check} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
