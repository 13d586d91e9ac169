"""What every request passes: who may ask, from where, and how much may be sent."""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from speechlm.serve.settings import ServerSettings, is_loopback

OPEN = {"/", "/page.js", "/page.css", "/health"}
"""Paths without a token: the page, which asks for it, and the check of a supervisor."""


def error_body(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's API has it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


class Guard:
    """ASGI middleware: token, origin and size.

    Pages of other origins are refused, and so are names of this machine that are not its own
    (DNS rebinding): a browser would otherwise let any page use a server on loopback.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            status, message = refusal
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": message})
            else:
                kind = "authentication_error" if status == 401 else "invalid_request_error"
                await JSONResponse(error_body(message, kind), status)(scope, receive, send)
            return
        if scope["type"] == "http":
            receive = _limited(receive, self._settings.max_upload)
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or ""
        if self._settings.token is None and not is_loopback(name) and name != self._settings.host:
            return 403, f"this server does not answer for the host {host!r}"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"pages of {origin} may not use this server"
        if not self._authorised(scope, headers):
            return 401, "send the token of this server as Authorization: Bearer TOKEN"
        stated = headers.get("content-length", "0")
        if not stated.isdecimal() or int(stated) > self._settings.max_upload:
            return 413, f"a request has at most {self._settings.max_upload} bytes"
        return None

    def _authorised(self, scope: Scope, headers: Headers) -> bool:
        token = self._settings.token
        if token is None or scope["path"] in OPEN:
            return True
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not given and scope["type"] == "websocket":  # browsers send no such header there
            query = parse_qs(scope["query_string"].decode("latin-1"))
            given = query.get("token", [""])[0]
        return hmac.compare_digest(given.encode(), token.encode())


class RequestTooLarge(Exception):
    """A request without a stated length exceeds the limit."""


def _limited(receive: Receive, most: int) -> Receive:
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise RequestTooLarge(f"a request has at most {most} bytes")
        return message

    return limited
