"""Batches that are prepared beside the step."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

Batch = TypeVar("Batch")

DEPTH = 2
"""Batches that wait to be taken. One is enough where a batch takes less time than a step; two level
out batches that take longer than others."""


@contextmanager
def prefetched(
    batch: Callable[[int], Batch], start: int, stop: int, depth: int = DEPTH
) -> Iterator[Iterator[Batch]]:
    """The batches of the steps from ``start`` to ``stop``, made by a thread, in order.

    A batch is a pure function of its step, so what the thread has made ahead is lost without harm
    when a run ends. What ``batch`` raises is raised where that batch is taken.
    """
    waiting: queue.Queue[tuple[Batch | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: tuple[Batch | None, BaseException | None]) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for step in range(start, stop):
                if stopped.is_set():
                    return
                put((batch(step), None))
        except BaseException as error:
            put((None, error))

    def batches() -> Iterator[Batch]:
        for _ in range(start, stop):
            made, error = waiting.get()
            if error is not None:
                raise error
            assert made is not None
            yield made

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        yield batches()
    finally:
        stopped.set()
        thread.join()
