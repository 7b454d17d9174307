"""Metrics for Prometheus. No label contains a user id; routes are counted by their template.

With many workers each process writes its metrics to files in `PROMETHEUS_MULTIPROC_DIR`, which the server sets. The
worker that is scraped adds them up.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
METRICS = "metrics"
"""The key of the metrics in the state of the lifespan, where the protocol finds them."""
UNPARSED = "unparsed"
"""The route of requests that the HTTP parser refused."""


@dataclass(frozen=True)
class ServedRelease:
    """When the served release was built, when its data ends, and whether it serves in place of a damaged one."""

    built_at: datetime
    as_of: datetime
    is_substitute: bool = False


class RequestMetrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        """Uses its own registry, so that a process can hold two applications."""
        own = self._own = CollectorRegistry()
        self.requests = Counter("tastefeed_requests", "answers", ["method", "route", "status"], registry=own)
        self.seconds = Histogram(
            "tastefeed_request_seconds", "time to answer", ["method", "route"], registry=own, buckets=BUCKETS_S
        )
        self.feeds = Counter("tastefeed_feeds", "feeds by why they are not profiled", ["reason"], registry=own)
        self.events = Counter("tastefeed_events", "posted events by result", ["result"], registry=own)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. `route` is the template of the path."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def observe_unparsed(self, status: int) -> None:
        """Count one answer to a request that could not be parsed."""
        self.requests.labels("other", UNPARSED, str(status)).inc()

    def exposition(self, release: ServedRelease | None = None) -> bytes:
        """The text that Prometheus scrapes: the requests of all workers, and the age of the served release."""
        if release is None:
            return generate_latest(self._requests())
        ages = CollectorRegistry()
        ages.register(_ReleaseState(release))
        return generate_latest(self._requests()) + generate_latest(ages)

    def _requests(self) -> CollectorRegistry:
        if MULTIPROCESS not in os.environ:
            return self._own
        all_workers = CollectorRegistry()
        MultiProcessCollector(all_workers)  # type: ignore[no-untyped-call]  # the library has no annotation here
        return all_workers


class _ReleaseState(Collector):
    """Three gauges, computed when they are scraped. The index is built with the release, so it has the same age."""

    def __init__(self, release: ServedRelease) -> None:
        self._release = release

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One value for each gauge."""
        ages = {
            "tastefeed_release_age_seconds": ("since the served release was built", self._release.built_at),
            "tastefeed_release_data_age_seconds": ("since the data of the served release ends", self._release.as_of),
        }
        now = datetime.now(UTC)
        for name, (text, since) in ages.items():
            yield GaugeMetricFamily(name, f"seconds {text}", value=(now - since).total_seconds())
        text = "1 while the release serves in place of one that cannot be read"
        yield GaugeMetricFamily("tastefeed_release_is_substitute", text, value=float(self._release.is_substitute))
