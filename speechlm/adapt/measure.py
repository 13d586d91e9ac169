"""The suites that compare a model before and after its adaptation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from speechlm import whisper
from speechlm.adapt.comparison import ComparisonRow, compared
from speechlm.adapt.options import AdaptOptions
from speechlm.evaluation import suite
from speechlm.evaluation.config import (
    ClipsConfig,
    PageConfig,
    RecogniserConfig,
    RuntimeConfig,
    SuiteConfig,
    SystemConfig,
)
from speechlm.report import suites as report

BEFORE, AFTER = "before", "after"
PAGE = PageConfig(clips=10)


def models(options: AdaptOptions) -> dict[str, str]:
    """What is compared."""
    return {BEFORE: options.model, AFTER: str(options.adapted)}


def held_out(options: AdaptOptions) -> ClipsConfig:
    """The held-out recordings: of a prepared corpus, the test split."""
    return ClipsConfig(sources=[str(options.corpus)])


def recognisers(options: AdaptOptions) -> dict[str, RecogniserConfig | None]:
    """Whisper base where it is installed, else tiny.en; none for other languages than English."""
    if options.language not in (None, "en"):
        return {}
    if all(map(find_spec, whisper.PARTS)):
        return {"base": RecogniserConfig(model=whisper.BASE)}
    return {"tiny-en": RecogniserConfig()}


def systems_compared(
    options: AdaptOptions,
    kind: str,
    metrics: Sequence[str],
    *,
    sample_rate: int,
    kbps: Sequence[float] = (),
    listen: bool = False,
) -> list[ComparisonRow]:
    """Run a suite on the models before and after, in ``evaluation/`` with its page.

    Args:
        kind: of the systems, ``model`` or ``units``.
        metrics: by name, as a suite has them.
        sample_rate: at which all is compared, in Hz.
        kbps: the bitrates; none for systems without.
        listen: whether recognisers transcribe.
    """
    config = SuiteConfig(
        title=f"{options.model}, adapted to {options.folder.resolve().name}",
        clips=held_out(options),
        sample_rate=sample_rate,
        systems={
            name: SystemConfig(kind=kind, model=model, kbps=list(kbps))
            for name, model in models(options).items()
        },
        metrics=list(metrics),
        recognisers=recognisers(options) if listen else {},
        runtime=RuntimeConfig(repeats=0),
        page=PAGE,
        workers=0,
    )
    finished = suite.execute(config, options.out / "evaluation")
    report.write(finished, options.out / "evaluation")
    results = finished.results
    shown = (*metrics, *(name for name in results.columns if name.startswith(("wer:", "cer:"))))
    columns = {name: results.columns[name] for name in shown}
    cells = {
        (facts["family"], facts["kbps"]): [row["cells"] for row in results.data["rows"][name]]
        for name, facts in results.data["systems"].items()
        if not facts["absent"]
    }
    return [
        row
        for rate in kbps or [0.0]
        for row in compared(
            f"{rate:g} kbps" if rate else "", columns, cells[BEFORE, rate], cells[AFTER, rate]
        )
    ]
