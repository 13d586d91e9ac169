"""What the routes share."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from speechlm import hub
from speechlm.serve.metrics import Metrics
from speechlm.serve.models import Models
from speechlm.serve.scheduler import Scheduler
from speechlm.serve.settings import ServerSettings
from speechlm.serve.tasks import Limits


@dataclass
class Service:
    """Models, scheduler, figures and limits of a running server."""

    settings: ServerSettings
    models: Models
    scheduler: Scheduler
    metrics: Metrics
    limits: Limits

    @property
    def language_model(self) -> str:
        """The name of the language model."""
        return self.settings.language_model or hub.DEFAULT_LM

    def check_model(self, name: str, alias: str) -> None:
        """Raises: HTTPException, unless ``name`` is the language model's, or an alias of it."""
        if name not in (self.language_model, alias):
            message = f"no model {name!r}; there are {self.language_model} and {alias}"
            raise HTTPException(404, message)


def service_of(connection: HTTPConnection) -> Service:
    """The service of a request."""
    service: Service = connection.app.state.service
    return service
