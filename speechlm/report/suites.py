"""Suites with their reports."""

from __future__ import annotations

from pathlib import Path

from speechlm.evaluation import suites
from speechlm.evaluation.lm.results import LMResults
from speechlm.evaluation.results import Results
from speechlm.evaluation.suite import CodecRun
from speechlm.report import codec, lm


def run(path: Path, overrides: list[str], out: Path) -> Results | LMResults:
    """Run the suite that the file ``path`` declares; write ``results.json`` and ``report.html``.

    Raises:
        SpeechLMError: for a bad declaration, or a suite that cannot run.
    """
    finished = suites.run(path, overrides, out)
    write(finished, out)
    return finished.results


def write(finished: suites.SuiteRun, out: Path) -> Path:
    """Write ``out/report.html`` of a finished suite; return its path."""
    if isinstance(finished, CodecRun):
        return codec.write(finished, out)
    return lm.write(finished, out)
