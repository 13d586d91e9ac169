"""Figures for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from speechlm.serve.scheduler import Scheduler

_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120)


class Metrics:
    """Counts and times of requests, by route, and the length of the queue."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.registry = CollectorRegistry()
        labels = ["route"]
        self.requests = Counter(
            "speechlm_requests", "Requests by route and status.", ["route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "speechlm_request_seconds", "Time of a request.", labels, buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.first_seconds = Histogram(
            "speechlm_first_byte_seconds", "Time to the first byte of a response.", labels,
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        waiting = Gauge("speechlm_waiting", "Requests that wait.", registry=self.registry)
        waiting.set_function(lambda: scheduler.waiting)
        active = Gauge("speechlm_active", "Requests that are computed.", registry=self.registry)
        active.set_function(lambda: scheduler.active)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self.registry)
