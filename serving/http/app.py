"""The HTTP application: `create_app` builds it, its lifespan loads the release."""

import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.to_thread
import faiss
from fastapi import FastAPI

from contracts import Settings, __version__
from serving.ab_experiment import read_experiment, versions_beside
from serving.bulk_feed import BulkFeed
from serving.cursor import CursorSigner, signing_keys
from serving.exposure_log import ExposureLog
from serving.feed import HomeFeed
from serving.feed_request import FeedParts
from serving.http.api_keys import ApiKeys
from serving.http.connection_balance import BALANCE
from serving.http.error_handlers import add_error_handlers
from serving.http.load_shedding import LoadSheddingMiddleware
from serving.http.middleware import AdmissionMiddleware, CompressionMiddleware, RequestMiddleware, add_cors, origins_of
from serving.http.openapi_document import openapi_document
from serving.http.rate_limits import RateLimits
from serving.http.request_metrics import METRICS, RequestMetrics
from serving.http.request_tracing import tracer_of
from serving.http.routes import (
    admin_routes,
    event_routes,
    feed_routes,
    opt_out_routes,
    page_routes,
    server_routes,
)
from serving.http.security_headers import SecurityHeaders
from serving.impression_recorder import ImpressionRecorder
from serving.privacy.admin_audit import AdminAudit
from serving.privacy.consent import ConsentGate
from serving.privacy.opt_out_service import OptOutService
from serving.privacy.pseudonyms import pseudonyms
from serving.privacy.switch_store import SwitchStore
from serving.release_choice import RunningExperiment
from serving.releases.extra_releases import ExtraReleases
from serving.releases.release_loader import ReloadingRelease
from serving.releases.shared_copies import shared_copies
from serving.shadow_mode import ShadowMode
from serving.shown_items import exploration_config, fatigue_config

LOG = logging.getLogger("tastefeed.app")
HEALTH_THREADS = 2
"""Threads for health checks and metrics alone: requests that wait for a store may occupy all others."""
POINTER_PERIOD_S = 5.0


def create_app(settings: Settings) -> FastAPI:
    """The application over one lake. Before it starts, it reads the cursors' key only. Without a release, it starts and
    is not ready."""
    app = FastAPI(
        title="tastefeed",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,  # FastAPI's pages load scripts from other hosts; `page_routes` has one that does not
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,  # a redirect would lose the percent-encoding of an id
    )
    _add_services(app, settings)
    _add_feeds(app, settings)
    _add_middleware(app, settings)
    add_error_handlers(app)
    for routes in (feed_routes, opt_out_routes, event_routes, admin_routes, server_routes, page_routes):
        app.include_router(routes.router)
    app.openapi = partial(openapi_document, app)  # type: ignore[method-assign]  # as FastAPI documents it
    return app


def _add_services(app: FastAPI, settings: Settings) -> None:
    """The stores, the release and what measures them."""
    service = OptOutService.of(settings, wait_s=settings.store_timeout_s)
    app.state.api_keys = ApiKeys(settings)
    app.state.metrics, app.state.tracer = RequestMetrics(), tracer_of(settings)
    app.state.opt_out_service, app.state.event_store = service, service.events
    app.state.settings, app.state.switches = settings, SwitchStore(service.opt_outs)
    app.state.audit = AdminAudit(service.opt_outs, pseudonyms(settings))
    app.state.shared_copies = shared_copies(settings)
    app.state.release_loader = ReloadingRelease(settings.release_root, app.state.shared_copies)
    app.state.health_threads = anyio.CapacityLimiter(HEALTH_THREADS)
    _connect(app.state.metrics, service, app.state.release_loader)


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one added is called first."""
    app.add_middleware(CompressionMiddleware)
    app.add_middleware(LoadSheddingMiddleware, max_requests=settings.max_concurrent_requests)
    app.add_middleware(
        AdmissionMiddleware,
        keys=app.state.api_keys,
        rates=RateLimits(settings, app.state.metrics.unshared_rates.inc),
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
    )
    add_cors(app, origins_of(settings))
    headers = SecurityHeaders(tls=settings.tls_cert is not None)
    app.add_middleware(RequestMiddleware, metrics=app.state.metrics, security_headers=headers)


def _add_feeds(app: FastAPI, settings: Settings) -> None:
    """What makes feeds, and what follows them in the background."""
    service, metrics = app.state.opt_out_service, app.state.metrics
    loader, gate = app.state.release_loader, ConsentGate(service.opt_outs, service.events)
    experiment = read_experiment(settings.experiment)
    beside = versions_beside(settings.shadow_release, experiment)
    extra = ExtraReleases(settings.release_root, beside, app.state.shared_copies)
    running = RunningExperiment(experiment, extra) if experiment else None
    cursors, fatigue = CursorSigner(signing_keys(settings)), fatigue_config(settings)
    exploration = exploration_config(settings)
    app.state.extra_releases = extra
    parts = FeedParts(loader, gate, cursors, fatigue, exploration, running)
    app.state.home_feed, app.state.bulk_feed = HomeFeed(parts), BulkFeed(parts)
    app.state.trace_feed = HomeFeed(parts)  # its own turns: feeds do not wait until a whole list is ranked for a trace
    app.state.recorder = ImpressionRecorder(service, metrics.count_recorded, enabled=settings.record_served)
    name = experiment.name if experiment else ""
    app.state.exposure_log = ExposureLog(settings, service.opt_outs, metrics.count_exposures, experiment=name)
    app.state.shadow = ShadowMode(app.state.home_feed, extra, settings.shadow_release, metrics.count_shadow)


def _connect(metrics: RequestMetrics, service: OptOutService, loader: ReloadingRelease) -> None:
    """Count the transactions of both stores and the swaps of the release."""
    service.opt_outs.on_call = service.events.on_call = metrics.stores.observe
    loader.on_swap = lambda result: metrics.swaps.labels(result).inc()


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
    logging.getLogger("uvicorn.access").disabled = True  # it would log every path, and with it user ids
    faiss.omp_set_num_threads(1)  # workers use the cores, and the requests of one take turns in ranking
    await anyio.to_thread.run_sync(app.state.release_loader.load_first)
    await anyio.to_thread.run_sync(app.state.extra_releases.load)
    gc.freeze()  # a full collection would visit every object of the release, while a request waits for 0.1 s
    background = (app.state.recorder, app.state.exposure_log, app.state.shadow)
    for each in background:
        each.start()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_follow_pointer, app)
        BALANCE.own.listen()
        yield {METRICS: app.state.metrics}
        BALANCE.own.leave()
        tasks.cancel_scope.cancel()
    gc.unfreeze()
    for each in background:
        await anyio.to_thread.run_sync(each.close)
    if app.state.tracer is not None:
        await anyio.to_thread.run_sync(app.state.tracer.close)
    app.state.opt_out_service.close()
    if app.state.shared_copies is not None:
        app.state.shared_copies.close()


async def _follow_pointer(app: FastAPI) -> None:
    """Switch to a new release without a request too: erased users must not stay in the memory of an idle worker."""
    while True:
        await anyio.sleep(POINTER_PERIOD_S)
        for follow in (app.state.release_loader.follow, app.state.extra_releases.follow):
            try:
                await anyio.to_thread.run_sync(follow, limiter=app.state.health_threads)
            except (OSError, RuntimeError) as error:  # of the lake's disk, or the process has too many threads
                LOG.error("releases cannot be followed, and are tried again in a moment: %s", error)
