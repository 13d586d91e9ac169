"""What a corpus costs, stage by stage: seconds for an hour of speech.

Each stage is measured on 1x, 4x and 16x as much data in one process, and on 1x in several.
Processes that prepare or tokenize have a corpus of that size each; those that train share a batch.
Starts of processes and of models are left out, as they do not grow. Seconds are those of a clock,
and those of processors, which hardly depend on what else runs.
"""

from __future__ import annotations

import itertools
import os
import socket
import tempfile
from dataclasses import asdict, dataclass
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

from rich.table import Table

from speechlm.benchmarks import scale_stages as stages
from speechlm.data.corpus import read_cuts
from speechlm.errors import SpeechLMError
from speechlm.utils.processes import cores, processes, progress

DATA = 1, 4, 16


@dataclass(frozen=True)
class ScaleRow:
    """``hours`` of speech took so many ``seconds``, and ``work`` of all processors together."""

    stage: str
    data: int
    processes: int
    hours: float
    seconds: float
    work: float

    @property
    def cost(self) -> dict[str, float]:
        """For an hour of speech."""
        return {"seconds": self.seconds / self.hours, "work": self.work / self.hours}


@dataclass(frozen=True)
class ScaleReport:
    """``load`` is the machine's before, in running processes: above 0 it disturbs."""

    cores: int
    load: float
    rows: list[ScaleRow]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "rows": [{**asdict(row), "cost": row.cost} for row in self.rows]}

    def table(self) -> Table:
        title = f"{self.cores} cores, load {self.load:.1f} before"
        columns = "data", "processes", "hours", "s an hour", "of processors", "efficiency"
        table = Table("stage", *columns, title=title)
        one = {row.stage: row for row in self.rows if (row.data, row.processes) == (1, 1)}
        for row in self.rows:
            faster = one[row.stage].cost["seconds"] / row.cost["seconds"]
            table.add_row(
                row.stage,
                f"{row.data}x",
                f"{row.processes}",
                f"{row.hours:.4f}",
                f"{row.cost['seconds']:.2f}",
                f"{row.cost['work']:.2f}",
                f"{faster / row.processes:.2f}",
            )
        return table


def run(corpus: Path, model: str | None, minutes: float, most: int) -> ScaleReport:
    """Measure on ``minutes`` (1x) of a prepared corpus, and in 1, 2, 4, ..., ``most`` processes.

    Raises:
        SpeechLMError: when it is none.
    """
    load = os.getloadavg()[0]
    cuts = read_cuts([corpus], "train")
    if not len(cuts):
        raise SpeechLMError(f"{corpus}: no train recordings")
    counts = itertools.takewhile(lambda n: n <= most, (1 << k for k in itertools.count(1)))
    plans = [*((data, 1) for data in DATA), *((1, count) for count in counts)]
    rows: list[ScaleRow] = []
    with (
        tempfile.TemporaryDirectory(prefix="speechlm-scale-") as name,
        progress("scale", len(plans)) as advance,
    ):
        for data, count in plans:
            folder = Path(name) / f"{data}-{count}"
            folder.mkdir()
            stages.make_source(cuts, minutes * data * 60, folder / "source")
            rows += _measured(data, count, folder, model)
            advance(f"{data}x in {count}")
    return ScaleReport(cores(), load, sorted(rows, key=lambda row: stages.STAGES.index(row.stage)))


def _measured(data: int, count: int, folder: Path, model: str | None) -> list[ScaleRow]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with SyncManager() as manager, processes(count) as executor:
        together = manager.Barrier(count)
        futures = [
            executor.submit(stages.work, rank, count, port, together, folder, model)
            for rank in range(count)
        ]
        found = [future.result() for future in futures]
    rows = []
    for stage in stages.STAGES:
        hours, seconds, work = zip(*(each[stage] for each in found), strict=True)
        rows.append(ScaleRow(stage, data, count, sum(hours), max(seconds), sum(work)))
    return rows
