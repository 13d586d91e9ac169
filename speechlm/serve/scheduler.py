"""Requests on one thread: a bounded queue, and steps in turn.

Models compute on one thread, without locks. A request is an iterator of results, and the thread
takes one step of each active request in turn, so that a short one does not wait for a long one, and
streamed speech of several clients advances side by side. Requests that may be computed in one batch
share a key: all of those that wait become one iterator.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from speechlm.errors import SpeechLMError

log = logging.getLogger(__name__)


class Overloaded(Exception):
    """The queue is full, or the server stops."""


class TimedOut(Exception):
    """A request took longer than it may."""


BatchFunction = Callable[[Sequence[Any]], Iterator[list[Any]]]
"""Takes the arguments of the requests of a batch; each step gives a result for each request, None
for one that has ended."""


@dataclass
class Request:
    """A request on its way. Results are taken from it on the event loop by iteration.

    Attributes:
        start: makes the iterator of results, on the computing thread.
        batch_key: requests of equal keys may share a batch; None: it runs alone.
        deadline: on the clock of :func:`time.monotonic`.
    """

    start: Callable[[], Iterator[Any]]
    deadline: float
    batch_key: Hashable = None
    argument: Any = None
    batch_function: BatchFunction | None = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    results: asyncio.Queue[tuple[str, Any]] = field(default_factory=asyncio.Queue)
    cancelled: bool = False

    def send(self, kind: str, value: Any = None) -> None:
        """Hand a result to the event loop; called on the computing thread."""
        if self.cancelled:
            return
        try:
            self.loop.call_soon_threadsafe(self.results.put_nowait, (kind, value))
        except RuntimeError:  # the event loop has been closed
            self.cancelled = True

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            while True:
                kind, value = await self.results.get()
                if kind == "end":
                    return
                if kind == "error":
                    raise value
                yield value
        finally:
            self.cancelled = True


class Scheduler:
    """Runs requests on a thread of its own.

    Args:
        waiting: requests that may wait.
        active: requests that advance in turns.
        batch: requests of one key that are computed together.
        timeout: seconds that a request may take in all.
    """

    def __init__(self, waiting: int, active: int, batch: int, timeout: float) -> None:
        self._most_waiting, self._most_active = waiting, active
        self._most_batched, self._timeout = batch, timeout
        self._waiting: list[Request] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._running = 0
        self._thread = threading.Thread(target=self._run, name="speechlm-compute", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """Requests that are computed."""
        return self._running

    def submit(self, start: Callable[[], Iterator[Any]]) -> Request:
        """Queue a request; called on the event loop.

        Raises:
            Overloaded: when the queue is full, or the server stops.
        """
        return self._submit(Request(start, self._deadline()))

    def submit_batched(self, key: Hashable, argument: Any, function: BatchFunction) -> Request:
        """Queue a request that may be computed together with others of its ``key``.

        Raises:
            Overloaded: as :meth:`submit`.
        """

        def alone() -> Iterator[Any]:
            for [result] in function([argument]):
                if result is None:
                    return
                yield result

        return self._submit(Request(alone, self._deadline(), key, argument, function))

    def stop(self) -> None:
        """Take no more requests, end the active ones, and wait for the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _submit(self, request: Request) -> Request:
        with self._changed:
            if self._stopping:
                raise Overloaded("the server stops")
            if len(self._waiting) >= self._most_waiting:
                raise Overloaded(f"{len(self._waiting)} requests wait already; try again later")
            self._waiting.append(request)
            self._changed.notify()
        return request

    def _run(self) -> None:
        active: list[_Running] = []
        while True:
            with self._changed:
                while not active and not self._waiting and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    break
                while self._waiting and len(active) < self._most_active:
                    active.append(_Running(self._next()))
                self._running = sum(len(running.requests) for running in active)
            active = [running for running in active if running.step()]
            self._running = sum(len(running.requests) for running in active)
        for running in active:
            running.fail(Overloaded("the server stops"))
        for request in self._waiting:
            request.send("error", Overloaded("the server stops"))

    def _next(self) -> list[Request]:
        """The request whose turn it is, with those that can share its batch."""
        first = self._waiting.pop(0)
        group = [first]
        if first.batch_key is not None:
            for other in list(self._waiting):
                if len(group) < self._most_batched and other.batch_key == first.batch_key:
                    group.append(other)
                    self._waiting.remove(other)
        return group


class _Running:
    """Requests that share an iterator."""

    def __init__(self, requests: list[Request]) -> None:
        self.requests = requests
        self._places = list(range(len(requests)))
        self._batched = len(requests) > 1
        self._source: Iterator[Any] | None = None

    def step(self) -> bool:
        """Take a step; whether there is another."""
        self._drop()
        if not self.requests:
            self._close()
            return False
        try:
            if self._source is None:
                self._source = self._start()
            result = next(self._source)
        except StopIteration:
            for request in self.requests:
                request.send("end")
            return False
        except Exception as error:  # it goes to the client, and the thread lives on
            if not isinstance(error, SpeechLMError):
                log.exception("a request failed")
            self.fail(error)
            return False
        self._send(result)
        return True

    def fail(self, error: Exception) -> None:
        """End all requests with an error."""
        for request in self.requests:
            request.send("error", error)
        self._close()

    def _start(self) -> Iterator[Any]:
        first = self.requests[0]
        if not self._batched:
            return iter(first.start())
        assert first.batch_function is not None
        return first.batch_function([request.argument for request in self.requests])

    def _send(self, result: Any) -> None:
        if not self._batched:
            self.requests[0].send("item", result)
            return
        for place, request in zip(self._places, list(self.requests), strict=True):
            if result[place] is None:
                request.send("end")
                request.cancelled = True
            else:
                request.send("item", result[place])

    def _drop(self) -> None:
        """Forget requests whose client is gone or whose time is over."""
        now = time.monotonic()
        for request in self.requests:
            if now > request.deadline:
                request.send("error", TimedOut("the request took too long"))
                request.cancelled = True
        kept = [
            (place, request)
            for place, request in zip(self._places, self.requests, strict=True)
            if not request.cancelled
        ]
        self._places = [place for place, _ in kept]
        self.requests = [request for _, request in kept]

    def _close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
