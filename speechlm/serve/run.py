"""Run the server until a signal ends it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from speechlm.errors import SpeechLMError
from speechlm.serve.app import create_app
from speechlm.serve.settings import ServerSettings

GRACE = 10
"""Seconds that active requests have to end after a signal."""


def run(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. ``announce`` takes the address once it answers.

    Raises:
        SpeechLMError: when the address cannot be used, or a model cannot be loaded.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise SpeechLMError(
                f"{settings.host}:{settings.port}: {error.strerror or error}; choose another --port"
            ) from None
        app = create_app(settings)
        app.state.service.models.warm_up()
        config = uvicorn.Config(
            app,
            log_level="warning",
            timeout_graceful_shutdown=GRACE,
            ws_max_size=1 << 20,
            server_header=False,
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"http://{host}:{listener.getsockname()[1]}"

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                announce(address)

        asyncio.run(Server(config).serve([listener]))
