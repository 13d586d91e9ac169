"""The outcome of a suite of sections, of which ``results.json`` holds the statistics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechlm.evaluation.config import PageConfig
from speechlm.evaluation.lm.asr_judges import ASRJudges
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.lm.results import FORMAT, LMResults
from speechlm.evaluation.results import provenance
from speechlm.evaluation.samples import ItemSamples


@dataclass(frozen=True)
class SectionRun:
    """A finished suite of a language model or a vocoder.

    Attributes:
        results: its statistics, which are in ``results.json`` too.
        samples: audio and texts of the items, by section.
        sample_rate: of the audio, in Hz.
        page: how a report is made of it.
    """

    results: LMResults
    samples: dict[str, list[ItemSamples]]
    sample_rate: int
    page: PageConfig


def finish(
    config: Any,
    model: dict[str, object],
    judges: ASRJudges,
    sections: dict[str, Section],
    absent: dict[str, str],
    sample_rate: int,
    out: Path,
) -> SectionRun:
    """Put a finished suite of a ``model`` (its metadata) together and write ``out/results.json``.

    ``config`` is the suite's, with ``title``, ``about`` and ``page``; ``absent`` says why a section
    did not run.
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
                for who, made in judges.listeners.items()
            },
            "absent": absent,
            "sections": {name: section.results().data for name, section in sections.items()},
        }
    )
    results.judged()
    results.save(out / "results.json")
    samples = {name: section.samples for name, section in sections.items()}
    return SectionRun(results, samples, sample_rate, config.page)
