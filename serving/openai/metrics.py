"""What a server counts, for Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server; nothing is shared between servers of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "inquisight_requests", "Answered requests, by model and HTTP status.", ("model", "status"), **own
        )
        self.seconds = Histogram(
            "inquisight_request_seconds",
            "Seconds from a request to its last byte.",
            ("model",),
            buckets=_SECONDS,
            **own,
        )
        self.active = Gauge("inquisight_active_requests", "Requests that are waiting or being answered.", **own)
        self.left = Counter("inquisight_clients_left", "Clients that left before their answer was complete.", **own)
        self.batches = Histogram(
            "inquisight_batch_size", "Requests in one call of a vision model.", ("call",), buckets=_BATCHES, **own
        )
        self.tokens = Counter("inquisight_tokens", "Tokens read and written.", ("kind",), **own)

    def saw_batch(self, call: str, count: int) -> None:
        """A vision model was called for `count` requests."""
        self.batches.labels(call).observe(count)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
