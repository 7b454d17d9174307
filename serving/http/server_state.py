"""The state of the server for Prometheus, read when it is scraped: release, switches and waiting events.

These values are those of all workers, or of the worker that is scraped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts.errors import EventStoreUnavailable, OptOutStoreUnavailable, ReleaseMissing
from contracts.switches import SwitchName
from serving.privacy.opt_out_service import OptOutService
from serving.releases.release_loader import ReloadingRelease
from serving.stores.event_store import MAX_COUNTED


@dataclass(frozen=True)
class ServedRelease:
    """When the served release was built, when its data ends, and whether it serves in place of a damaged one."""

    version: str
    built_at: datetime
    as_of: datetime
    is_substitute: bool = False


@dataclass(frozen=True, eq=False)
class ServerState(Collector):
    """The values of one scrape."""

    release: ServedRelease | None = None
    waiting_events: int | None = None
    """Events that no night has ingested, counted up to `MAX_COUNTED`; `None` while they cannot be read."""
    switches: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def now(cls, loader: ReloadingRelease, service: OptOutService) -> "ServerState":
        """What a worker can read now; each store may make it wait for the bound of a request."""
        return cls(_release(loader), _waiting(service), _switches(service))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One value for each gauge."""
        if self.release is not None:
            yield from _gauges(self.release)
        if self.waiting_events is not None:
            text = f"posted events that no night has ingested, at most {MAX_COUNTED}"
            yield GaugeMetricFamily("tastefeed_pending_events", text, value=self.waiting_events)
        switches = GaugeMetricFamily("tastefeed_switch_set", "1 while the kill switch is set", labels=["name"])
        for name in SwitchName:
            switches.add_metric([name], float(name in self.switches))
        yield switches


def _gauges(release: ServedRelease) -> Iterator[GaugeMetricFamily]:
    info = GaugeMetricFamily("tastefeed_release_info", "1 for the served release", labels=["version"])
    info.add_metric([release.version], 1.0)
    yield info
    now = datetime.now(UTC)
    text = "seconds since the served release was built"  # its index is built with it, so it has the same age
    yield GaugeMetricFamily("tastefeed_release_age_seconds", text, value=(now - release.built_at).total_seconds())
    text = "seconds since the data of the served release ends"
    yield GaugeMetricFamily("tastefeed_release_data_age_seconds", text, value=(now - release.as_of).total_seconds())
    text = "1 while the release serves in place of one that cannot be read"
    yield GaugeMetricFamily("tastefeed_release_is_substitute", text, value=float(release.is_substitute))


def _release(loader: ReloadingRelease) -> ServedRelease | None:
    try:
        manifest = loader.get().manifest
    except ReleaseMissing:
        return None
    is_substitute = loader.substitute_for is not None
    return ServedRelease(manifest.version, manifest.built_at, manifest.as_of, is_substitute=is_substitute)


def _waiting(service: OptOutService) -> int | None:
    try:
        return service.events.waiting()
    except EventStoreUnavailable:
        return None


def _switches(service: OptOutService) -> dict[str, str]:
    try:
        return service.opt_outs.switches().values
    except OptOutStoreUnavailable:
        return service.opt_outs.last_known().switches.values
