"""The state of the server over HTTP: the current release; and, without a key, `/healthz`, `/readyz` and `/metrics`."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from contracts.errors import OptOutStoreUnavailable
from serving.http.auth import FEED_KEY
from serving.http.request_metrics import RequestMetrics
from serving.http.routes.request_parameters import IfNoneMatch, with_etag
from serving.http.server_state import ServerState
from serving.privacy.opt_out_service import OptOutService
from serving.releases.manifest import ReducedTo
from serving.releases.release_loader import ReloadingRelease

router = APIRouter(tags=["server"])


class CurrentRelease(BaseModel):
    """The release that is served. `reduced_to` is all that it serves of its night, `null` for everything; `unmeasured`
    is true where no gate compared its lists."""

    version: str
    built_at: datetime
    as_of: datetime
    profiled: bool
    reduced_to: ReducedTo | None
    unmeasured: bool
    metrics: dict[str, Any]
    substitute_for: Annotated[
        str | None, Field(description="only while this release serves in place of this version, which cannot be read")
    ] = None


@router.get(
    "/v1/releases/current",
    dependencies=FEED_KEY,
    response_model=CurrentRelease,
    responses={
        304: {"description": "the release is the one that `If-None-Match` names"},
    },
)
def current_release(request: Request, if_none_match: IfNoneMatch = None) -> Response:
    """The release that this answer's worker serves. Its `ETag` changes with the release."""
    loader = _loader(request)
    with suppress(OptOutStoreUnavailable):  # the pin that was last read then holds
        loader.under_pin(_service(request).opt_outs.switches().pinned_release)
    release = loader.get()
    current = CurrentRelease(
        version=release.version,
        built_at=release.manifest.built_at,
        as_of=release.manifest.as_of,
        profiled=release.profiled,
        reduced_to=release.reduced_to,
        unmeasured=release.manifest.unmeasured,
        metrics=release.metrics,
        substitute_for=loader.substitute_for,
    )
    absent = set() if loader.substitute_for else {"substitute_for"}
    return with_etag(current.model_dump_json(exclude=absent).encode(), if_none_match)


class Health(BaseModel):
    """The state of the server."""

    status: str
    release: str | None = None


class Readiness(Health):
    """The state of a server that answers feeds: `ready`, or `not_personalized` while it cannot read the opt-outs."""

    substitute_for: str | None = None
    detail: Annotated[str | None, Field(description="only while the opt-outs cannot be read: why, and the remedy")] = (
        None
    )


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz() -> Health:
    """The process is alive. This needs no thread, so it is answered while requests occupy all of them."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False, response_model_exclude_unset=True)
@router.get("/readyz", response_model_exclude_unset=True)
async def readyz(request: Request) -> Readiness:
    """The server has a release, so that it answers feeds; otherwise 503. While it cannot read the opt-outs it stays
    ready, since all servers of a lake share them: feeds are then the non-profiled list."""
    return await to_thread.run_sync(_readiness, request, limiter=request.app.state.health_threads)


def _readiness(request: Request) -> Readiness:
    loader = _loader(request)
    loader.get()  # a new lake has neither a release nor a store: the answer names the night
    opt_outs = _service(request).opt_outs
    try:
        switches, state = opt_outs.switches(), {"status": "ready"}
    except OptOutStoreUnavailable as error:
        switches, state = opt_outs.last_known().switches, {"status": "not_personalized", "detail": str(error)}
    release = loader.under_pin(switches.pinned_release)
    return Readiness(**state, release=release.version, substitute_for=loader.substitute_for)


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus; no label holds a user id."""
    requests: RequestMetrics = request.app.state.metrics

    def scraped() -> bytes:
        return requests.exposition(ServerState.now(_loader(request), _service(request)))

    text = await to_thread.run_sync(scraped, limiter=request.app.state.health_threads)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _loader(request: Request) -> ReloadingRelease:
    loader: ReloadingRelease = request.app.state.release_loader
    return loader


def _service(request: Request) -> OptOutService:
    service: OptOutService = request.app.state.opt_out_service
    return service
