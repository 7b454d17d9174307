"""What Prometheus may know. No label ever holds a user: routes are counted by their template.

With many workers each process writes its figures to files of `PROMETHEUS_MULTIPROC_DIR` (the server sets it), and
whoever is asked adds them up.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        """In a registry of their own, so that a process can hold two applications."""
        own = self._own = CollectorRegistry()
        self.requests = Counter("tastefeed_requests", "answers", ["method", "route", "status"], registry=own)
        self.seconds = Histogram(
            "tastefeed_request_seconds", "time to answer", ["method", "route"], registry=own, buckets=BUCKETS_S
        )
        self.feeds = Counter("tastefeed_feeds", "feeds by why they are not profiled", ["reason"], registry=own)
        self.events = Counter("tastefeed_events", "posted events by what became of them", ["result"], registry=own)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. `route` is the template of the path."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes, of all workers."""
        if MULTIPROCESS not in os.environ:
            return generate_latest(self._own)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]  # the library's annotations stop here
        return generate_latest(together)
