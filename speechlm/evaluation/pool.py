"""Tasks spread over processes, with a bar that shows what is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from speechlm.errors import SpeechLMError
from speechlm.evaluation.work import Outcome, Task, perform

# Processes share the cores between them: each library below would start a thread for every core.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(tasks: Sequence[Task], workers: int | None) -> Iterator[tuple[int, Outcome]]:
    """Perform ``tasks`` in any order, giving each one's index and outcome as it is done.

    Raises:
        SpeechLMError: when a worker dies, as of a crash in native code or want of memory.
    """
    count = cores() if workers is None else workers
    with progress("judging", len(tasks)) as advance:
        for index, outcome in _here(tasks) if count == 0 else _spread(tasks, count):
            advance(tasks[index].spec.name)
            yield index, outcome


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on the terminal; call what it gives with the name of each thing that is done."""
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
    )
    with bar:
        shown = bar.add_task("", total=total)
        yield lambda name: bar.update(shown, advance=1, description=name)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def processes(count: int, threads: int = 1) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes, whose libraries use so many threads each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, str(threads)))
    executor = ProcessPoolExecutor(
        count,
        multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
    )
    try:
        yield executor
    finally:
        # After an interrupt nobody waits for what was queued.
        executor.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _prepare_worker() -> None:
    # Ctrl-C reaches the whole group: workers finish what they have while this process stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, the workers of a process that was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _here(tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
    for index, task in enumerate(tasks):
        yield index, perform(task)


def _spread(tasks: Sequence[Task], count: int) -> Iterator[tuple[int, Outcome]]:
    queue = iter(enumerate(tasks))
    with processes(min(count, len(tasks) or 1)) as executor:
        waiting: dict[Future[Outcome], int] = {}
        try:
            while True:
                # A few a worker are queued, so that none waits and little is lost to an interrupt.
                while len(waiting) < 3 * count and (queued := next(queue, None)) is not None:
                    index, task = queued
                    waiting[executor.submit(perform, task)] = index
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield waiting.pop(future), outcome
        except BrokenProcessPool:
            lost = [tasks[index] for index in waiting.values()]
            rows = ", ".join(f"{task.spec.name} on {task.clip.id}" for task in lost)
            raise SpeechLMError(
                f"a worker process died (out of memory, or a crash in native code) during one of: "
                f"{rows}; what was finished is kept: run again, with workers=1 to see which"
            ) from None
