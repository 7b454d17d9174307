"""Metrics for Prometheus. No label contains a user id; routes are counted by their template.

With many workers each process writes its metrics to files in `PROMETHEUS_MULTIPROC_DIR`, which the server sets. The
worker that is scraped adds them up.
"""

import os
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from serving.feed_metrics import SHARES, FeedMetrics
from serving.http.server_state import ServerState
from serving.http.worker_folder import MULTIPROCESS
from serving.stores.store_metrics import StoreMetrics

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
METRICS = "metrics"
"""The key of the metrics in the state of the lifespan, where the protocol finds them."""
UNPARSED = "unparsed"
"""The route of requests that the HTTP parser refused."""


class RequestMetrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        """Uses its own registry, so that a process can hold two applications."""
        own = self._own = CollectorRegistry()
        self.requests = Counter("tastefeed_requests", "answers", ["method", "route", "status"], registry=own)
        self.refusals = Counter(
            "tastefeed_refusals", "requests refused with 503, by the type of problem", ["problem"], registry=own
        )
        self.seconds = Histogram(
            "tastefeed_request_seconds", "time to answer", ["method", "route"], registry=own, buckets=BUCKETS_S
        )
        self.feeds, self.stores = FeedMetrics(own), StoreMetrics(own)
        self.swaps = Counter(
            "tastefeed_release_swaps", "releases loaded to serve, or refused", ["result"], registry=own
        )
        self.exposures = Counter("tastefeed_exposures", "pages of the exposure log", ["result"], registry=own)
        self.shadow = Counter("tastefeed_shadow_feeds", "pages compared in shadow mode", ["result"], registry=own)
        self.shadow_overlap = Histogram(
            "tastefeed_shadow_overlap", "share of items that both pages have", registry=own, buckets=SHARES
        )
        self.events = Counter("tastefeed_events", "posted events by result", ["result"], registry=own)
        self.unshared_rates = Counter(
            "tastefeed_unshared_rate_counts", "requests that a worker counted on its own", registry=own
        )
        self.served = Counter(
            "tastefeed_recorded_feeds", "served feeds by result of recording", ["result"], registry=own
        )

    def count_exposures(self, result: str, pages: int) -> None:
        """Count pages of the exposure log that were `written` or `dropped`."""
        self.exposures.labels(result).inc(pages)

    def count_shadow(self, result: str, overlap: float | None) -> None:
        """Count a comparison of shadow mode, with the share of items that both pages have."""
        self.shadow.labels(result).inc()
        if overlap is not None:
            self.shadow_overlap.observe(overlap)

    def count_recorded(self, result: str, feeds: int) -> None:
        """Count served feeds whose impressions were recorded or dropped."""
        self.served.labels(result).inc(feeds)

    def observe(self, method: str, route: str, status: int, seconds: float, problem: str | None = None) -> None:
        """Count one answer. `route` is the template of the path, `problem` the type of an error."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)
        if status == HTTPStatus.SERVICE_UNAVAILABLE and problem:
            self.refusals.labels(problem).inc()

    def observe_unparsed(self, status: int) -> None:
        """Count one answer to a request that could not be parsed."""
        self.requests.labels("other", UNPARSED, str(status)).inc()

    def exposition(self, state: ServerState | None = None) -> bytes:
        """The text that Prometheus scrapes: the counts of all workers, and the state of the server now."""
        if state is None:
            return generate_latest(self._requests())
        now = CollectorRegistry()
        now.register(state)
        return generate_latest(self._requests()) + generate_latest(now)

    def _requests(self) -> CollectorRegistry:
        if MULTIPROCESS not in os.environ:
            return self._own
        all_workers = CollectorRegistry()
        MultiProcessCollector(all_workers)  # type: ignore[no-untyped-call]  # the library has no annotation here
        return all_workers
