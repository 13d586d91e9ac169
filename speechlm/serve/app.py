"""The application: routes, errors, figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse

import speechlm
from speechlm.errors import SpeechLMError
from speechlm.serve import live, openai_routes, speechlm_routes
from speechlm.serve.guard import Guard, RequestTooLarge, error_body
from speechlm.serve.metrics import Metrics
from speechlm.serve.models import Models
from speechlm.serve.scheduler import Overloaded, Scheduler, TimedOut
from speechlm.serve.service import Service
from speechlm.serve.settings import ServerSettings
from speechlm.serve.tasks import Limits

_POLICY = "default-src 'self'; media-src 'self' blob:; img-src data:"
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


def create_app(settings: ServerSettings) -> FastAPI:
    """Load the models; the server as an ASGI application.

    Raises:
        SpeechLMError: when a model or a voice cannot be read.
    """
    models = Models(settings)
    scheduler = Scheduler(settings.queue, settings.active, settings.batch, settings.timeout)
    service = Service(
        settings,
        models,
        scheduler,
        Metrics(scheduler),
        Limits(settings.max_seconds, settings.max_characters),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(scheduler.stop)

    app = FastAPI(
        title="speechlm", version=speechlm.__version__, lifespan=lifespan, docs_url=None,
        redoc_url=None,
    )  # fmt: skip
    app.state.service = service
    app.add_middleware(Guard, settings=settings)
    for module in (openai_routes, speechlm_routes, live):
        app.include_router(module.router)
    _add_errors(app)
    _add_operations(app, service)
    _add_page(app)
    return app


def _add_errors(app: FastAPI) -> None:
    def error(status: int, kind: str) -> Callable[[Request, Exception], JSONResponse]:
        def respond(_: Request, problem: Exception) -> JSONResponse:
            headers = {"Retry-After": "1"} if status == 503 else None
            return JSONResponse(error_body(str(problem), kind), status, headers)

        return respond

    app.exception_handler(SpeechLMError)(error(400, "invalid_request_error"))
    app.exception_handler(RequestTooLarge)(error(413, "invalid_request_error"))
    app.exception_handler(Overloaded)(error(503, "overloaded"))
    app.exception_handler(TimedOut)(error(504, "timeout"))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, problem: RequestValidationError) -> JSONResponse:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return JSONResponse(error_body(f"{where}: {first['msg']}", "invalid_request_error"), 400)

    @app.exception_handler(HTTPException)
    def http(_: Request, problem: HTTPException) -> JSONResponse:
        code = "model_not_found" if problem.status_code == 404 else None
        body = error_body(str(problem.detail), "invalid_request_error", code)
        return JSONResponse(body, problem.status_code, problem.headers)


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.middleware("http")
    async def measure(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        start = time.perf_counter()
        response = await call_next(request)
        route: Any = request.scope.get("route")
        path = getattr(route, "path", "other")
        service.metrics.requests.labels(path, str(response.status_code)).inc()
        service.metrics.first_seconds.labels(path).observe(time.perf_counter() - start)
        body = response.body_iterator  # type: ignore[attr-defined]

        async def timed() -> AsyncIterator[Any]:
            try:
                async for chunk in body:
                    yield chunk
            finally:
                service.metrics.seconds.labels(path).observe(time.perf_counter() - start)

        response.body_iterator = timed()  # type: ignore[attr-defined]
        return response


def _add_page(app: FastAPI) -> None:
    folder = files("speechlm.serve") / "page"

    def add(path: str, name: str, kind: str) -> None:
        content = (folder / name).read_bytes()

        @app.get(path, include_in_schema=False)
        async def page() -> Response:
            return Response(content, media_type=kind, headers={"Content-Security-Policy": _POLICY})

    for path, (name, kind) in _PAGE.items():
        add(path, name, kind)
