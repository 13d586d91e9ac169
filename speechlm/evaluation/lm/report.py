"""What a suite of sections leaves: ``results.json`` and ``report.html``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from speechlm.errors import SpeechLMError
from speechlm.evaluation.lm.asr_judges import ASRJudges
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.lm.results import FORMAT, LMResults
from speechlm.evaluation.results import provenance
from speechlm.report import lm as page


def make(out: Path) -> None:
    """Make the folder of a report, before the work.

    Raises:
        SpeechLMError: when it cannot be.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpeechLMError(f"{out}: cannot be written: {error.strerror}") from None


def write(
    config: Any,
    model: dict[str, object],
    ears: ASRJudges,
    sections: dict[str, Section],
    absent: dict[str, str],
    rate: int,
    out: Path,
) -> LMResults:
    """Write the report of a ``model`` (its facts); sound is at ``rate`` Hz.

    ``config`` is the suite's, with ``title``, ``about`` and ``page``; ``absent`` says why a part of
    it did not run.
    """
    results = LMResults(
        {
            "format": FORMAT,
            "title": config.title,
            "about": config.about,
            **provenance(),
            "config": asdict(config),
            "model": model,
            "recognisers": {
                who.name: made if isinstance(made, str) else made.about
                for who, made in ears.listeners.items()
            },
            "absent": absent,
            "sections": {name: section.results().data for name, section in sections.items()},
        }
    )
    results.judged()
    results.save(out / "results.json")
    shown = {name: section.shown for name, section in sections.items()}
    page.write(results, shown, rate, config.page, out)
    return results
