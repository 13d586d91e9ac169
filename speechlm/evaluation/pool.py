"""Tasks spread over processes, with a bar that shows what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from speechlm.errors import SpeechLMError
from speechlm.evaluation.worker import Outcome, RowTask, perform
from speechlm.utils.processes import cores, processes, progress


def run(tasks: Sequence[RowTask], workers: int | None) -> Iterator[tuple[int, Outcome]]:
    """Perform ``tasks`` in any order, giving each one's index and outcome as it is done.

    Raises:
        SpeechLMError: when a worker dies, as of a crash in native code or want of memory.
    """
    count = cores() if workers is None else workers
    with progress("judging", len(tasks)) as advance:
        for index, outcome in _here(tasks) if count == 0 else _spread(tasks, count):
            advance(tasks[index].spec.name)
            yield index, outcome


def _here(tasks: Sequence[RowTask]) -> Iterator[tuple[int, Outcome]]:
    for index, task in enumerate(tasks):
        yield index, perform(task)


def _spread(tasks: Sequence[RowTask], count: int) -> Iterator[tuple[int, Outcome]]:
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
