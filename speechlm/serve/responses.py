"""From a scheduled request to an HTTP response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse

from speechlm.serve.formats import MEDIA_TYPES
from speechlm.serve.scheduler import Request

_POLL = 0.5  # seconds between two looks at whether a client is still there


async def only_result(http: HttpRequest, request: Request) -> Any:
    """The one result of a request; a client that is gone cancels it."""

    async def watch() -> None:
        while not await http.is_disconnected():
            await asyncio.sleep(_POLL)
        request.cancelled = True

    watcher = asyncio.create_task(watch())
    try:
        async for result in request:
            return result
        raise asyncio.CancelledError
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher


async def audio_response(
    request: Request, kind: str, headers: Mapping[str, str] | None = None
) -> StreamingResponse:
    """Chunks of an audio file, sent as they are ready.

    The first is waited for, so that what is wrong with the request is still a status.
    """
    results = aiter(request)
    first = b""
    async for first in results:
        if first:
            break

    async def body() -> AsyncIterator[bytes]:
        try:
            yield first
            async for chunk in results:
                yield chunk
        finally:
            request.cancelled = True

    return StreamingResponse(body(), media_type=MEDIA_TYPES[kind], headers=headers)
