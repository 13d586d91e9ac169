"""The scheduler: order, turns, batches, limits, and that it survives what fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from speechlm.errors import SpeechLMError

pytest.importorskip("fastapi", reason="needs the extra serve")

from speechlm.serve.scheduler import Overloaded, Request, Scheduler, TimedOut


async def collect(request: Request) -> list[object]:
    return [item async for item in request]


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler(waiting=4, active=2, batch=3, timeout=30)
    yield scheduler
    scheduler.stop()


def test_results_arrive_in_order(scheduler):
    async def main():
        return await collect(scheduler.submit(lambda: iter(range(5))))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_active_requests_take_turns(scheduler):
    seen: list[str] = []
    gate = threading.Event()

    def steps(name: str, count: int) -> Iterator[str]:
        gate.wait()
        for number in range(count):
            seen.append(f"{name}{number}")
            yield name

    async def main():
        long = scheduler.submit(lambda: steps("long", 50))
        short = scheduler.submit(lambda: steps("short", 2))
        gate.set()
        await asyncio.gather(collect(long), collect(short))

    asyncio.run(main())
    assert seen.index("short1") < seen.index("long5")


def test_waiting_requests_of_a_key_share_a_batch(scheduler):
    gate, batches = threading.Event(), []

    def block() -> Iterator[None]:
        gate.wait()
        yield None

    def double(arguments: Sequence[int]) -> Iterator[list[int | None]]:
        batches.append(list(arguments))
        yield [2 * argument for argument in arguments]
        yield [None if argument == 1 else 3 * argument for argument in arguments]

    async def main():
        blockers = [scheduler.submit(block) for _ in range(2)]
        while scheduler.active < 2:
            await asyncio.sleep(0.01)
        requests = [scheduler.submit_batched("key", number, double) for number in (1, 2, 3, 4)]
        gate.set()
        await asyncio.gather(*map(collect, blockers))
        return await asyncio.gather(*map(collect, requests))

    assert asyncio.run(main()) == [[2], [4, 6], [6, 9], [8, 12]]
    assert batches == [[1, 2, 3], [4]]  # three at most


def test_a_full_queue_refuses(scheduler):
    gate = threading.Event()

    def block() -> Iterator[None]:
        gate.wait()
        yield None

    async def main():
        requests = [scheduler.submit(block) for _ in range(2)]
        while scheduler.active < 2:
            await asyncio.sleep(0.01)
        requests += [scheduler.submit(block) for _ in range(4)]
        with pytest.raises(Overloaded, match="4 requests wait"):
            scheduler.submit(block)
        gate.set()
        await asyncio.gather(*map(collect, requests))

    asyncio.run(main())


def test_an_error_reaches_its_client_alone(scheduler):
    def fail() -> Iterator[int]:
        yield 1
        raise SpeechLMError("bad input")

    async def main():
        with pytest.raises(SpeechLMError, match="bad input"):
            await collect(scheduler.submit(fail))
        return await collect(scheduler.submit(lambda: iter([1])))

    assert asyncio.run(main()) == [1]


def test_a_cancelled_request_is_closed(scheduler):
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async def main():
        request = scheduler.submit(endless)
        async for _ in request:
            break
        request.cancelled = True

    asyncio.run(main())
    assert closed.wait(10)


def test_time_is_limited():
    scheduler = Scheduler(waiting=4, active=2, batch=3, timeout=0.2)

    def endless() -> Iterator[int]:
        while True:
            yield 1

    async def main():
        with pytest.raises(TimedOut):
            await collect(scheduler.submit(endless))

    try:
        asyncio.run(main())
    finally:
        scheduler.stop()


def test_stopping_ends_requests():
    scheduler = Scheduler(waiting=4, active=1, batch=1, timeout=30)

    def endless() -> Iterator[int]:
        while True:
            yield 1

    async def main():
        requests = [scheduler.submit(endless), scheduler.submit(endless)]
        await asyncio.to_thread(scheduler.stop)
        for request in requests:
            with pytest.raises(Overloaded):
                await collect(request)
        with pytest.raises(Overloaded):
            scheduler.submit(endless)

    asyncio.run(main())
