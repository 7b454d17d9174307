"""Metrics of the stores: how long their transactions take, and how many fail."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram

STORE_BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
OPT_OUTS = "opt_outs"
"""The label of the opt-out store."""


class StoreCall(Protocol):
    """What is done after a transaction of a store."""

    def __call__(self, store: str, *, writes: bool, seconds: float, failed: bool) -> None:
        """Record one transaction of the store with this label."""


def ignore_call(store: str, *, writes: bool, seconds: float, failed: bool) -> None:
    """Record nothing."""


class StoreMetrics:
    """A `StoreCall` for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers its metrics."""
        labels = ["store", "operation"]
        self._seconds = Histogram(
            "tastefeed_store_seconds", "time of a transaction", labels, registry=registry, buckets=STORE_BUCKETS_S
        )
        self._errors = Counter("tastefeed_store_errors", "transactions that failed", labels, registry=registry)
        self._reads = Counter("tastefeed_opt_out_reads", "reads of the opt-outs", ["result"], registry=registry)

    def observe(self, store: str, *, writes: bool, seconds: float, failed: bool) -> None:
        """Count one transaction."""
        operation = "write" if writes else "read"
        self._seconds.labels(store, operation).observe(seconds)
        if failed:
            self._errors.labels(store, operation).inc()
        if store == OPT_OUTS and not writes:
            self._reads.labels("unavailable" if failed else "ok").inc()
