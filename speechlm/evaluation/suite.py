"""Run a suite: systems x bitrates x clips, in parallel, never the same work twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from speechlm.evaluation import alignment, pool, roundtrip, runtime
from speechlm.evaluation.config import PageConfig, SuiteConfig
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.results import ResultRow, Results, assemble
from speechlm.evaluation.roundtrip import Coded
from speechlm.evaluation.setup import Plan, prepare
from speechlm.evaluation.store import Store, default_folder, key
from speechlm.evaluation.worker import Outcome, RowTask
from speechlm.utils.files import make_folder


@dataclass(frozen=True)
class CodecRun:
    """A finished suite of codecs.

    Attributes:
        results: its statistics, which are in ``results.json`` too.
        rows: each clip through each system, with its audio in the cache.
        page: how a report is made of it.
    """

    results: Results
    rows: list[ResultRow]
    page: PageConfig


def execute(config: SuiteConfig, out: Path) -> CodecRun:
    """Run a suite and write ``out/results.json``.

    Whatever is finished is kept in the cache, so that an interrupted run continues where it
    stopped, and a second suite does not repeat the first one's peers.

    Raises:
        SpeechLMError: for a declaration, a recording or an output folder that cannot be used.
    """
    plan = prepare(config)
    make_folder(out)
    folder = plan.config.cache
    with Store(Path(folder) if folder else default_folder()) as store:
        rows = judge(plan, store)
    results = assemble(plan, rows, runtime.measure(plan))
    results.save(out / "results.json")
    return CodecRun(results, rows, plan.config.page)


def judge(plan: Plan, store: Store) -> list[ResultRow]:
    """Every row of the suite, from the cache where it is known, else freshly judged."""
    rows = [_Cached(plan, store, row) for row in _rows(plan, store)]
    tasks = [(cached, task) for cached in rows if (task := cached.task()) is not None]
    for index, outcome in pool.run([task for _, task in tasks], plan.config.workers):
        tasks[index][0].keep(outcome)
    return [cached.row for cached in rows]


def _rows(plan: Plan, store: Store) -> Iterator[ResultRow]:
    for clip in plan.clips:
        for spec, system in plan.present.items():
            rate = plan.config.sample_rate
            versions = roundtrip.VERSION, alignment.VERSION
            name = key("coded", *versions, clip.digest, rate, system.fingerprint)
            yield ResultRow(spec, clip, name, store.audio(name), Outcome())


class _Cached:
    """One row and where its parts are kept."""

    def __init__(self, plan: Plan, store: Store, row: ResultRow) -> None:
        self.plan, self.store, self.row = plan, store, row
        self.timed = plan.present[row.spec].timed
        known = store.get(row.key)
        if known is not None and row.audio.is_file():
            row.outcome.coded = Coded(**known)
            self._recall()

    def task(self) -> RowTask | None:
        """What is still to be done, or None."""
        row, outcome = self.row, self.row.outcome
        metrics = tuple(
            metric.name
            for metric in self.plan.metrics
            if metric.name not in outcome.scores and (self.timed or not metric.timed)
        )
        listeners = tuple(who for who in self.plan.hearing if who.name not in outcome.texts)
        if outcome.coded is not None and not metrics and not listeners:
            return None
        rate = self.plan.config.sample_rate
        known = row.audio, outcome.coded
        return RowTask(row.spec, row.clip, rate, *known, metrics, listeners, self.timed)

    def keep(self, outcome: Outcome) -> None:
        """Add what a task gave; remember all of it that will not change."""
        known = self.row.outcome
        known.coded, known.error = outcome.coded, outcome.error
        known.scores |= outcome.scores
        known.texts |= outcome.texts
        known.unheard |= outcome.unheard
        if outcome.coded is None:
            return
        self.store.put(self.row.key, asdict(outcome.coded))
        for metric in self.plan.metrics:
            score = outcome.scores.get(metric.name)
            if score is not None and score.lasting:
                value = score.reason or score.value
                self.store.put(self._key("score", metric.fingerprint), value)
        for who, recogniser in self.plan.hearing.items():
            if who.name in outcome.texts:
                text = outcome.texts[who.name]
                self.store.put(self._key("text", recogniser.fingerprint), text)

    def _recall(self) -> None:
        outcome = self.row.outcome
        for metric in self.plan.metrics:
            value = self.store.get(self._key("score", metric.fingerprint))
            if isinstance(value, str):
                outcome.scores[metric.name] = failed(value)
            elif value is not None:
                outcome.scores[metric.name] = Score(value)
        for who, recogniser in self.plan.hearing.items():
            text = self.store.get(self._key("text", recogniser.fingerprint))
            if text is not None:
                outcome.texts[who.name] = text

    def _key(self, kind: str, judge: str) -> str:
        """Names a judgement of this row's audio beside its original."""
        coded = self.row.outcome.coded
        assert coded is not None
        rate = self.plan.config.sample_rate
        aligned = alignment.VERSION if self.timed else "not aligned"
        return key(kind, aligned, self.row.clip.digest, rate, coded.audio, judge)
