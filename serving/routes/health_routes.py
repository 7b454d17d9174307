"""`/healthz`, `/readyz` and `/metrics`."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from contracts.errors import ReleaseMissing
from serving.releases.release_loader import ReloadingRelease
from serving.request_metrics import ReleaseTimes, RequestMetrics

router = APIRouter(tags=["server"])


class Health(BaseModel):
    """The state of the server."""

    status: str
    release: str | None = None


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
def healthz() -> Health:
    """The process is alive."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
def readyz(request: Request) -> Health:
    """The server has a release and can read the opt-outs, so that it can personalize feeds; otherwise 503."""
    loader: ReloadingRelease = request.app.state.release_loader
    release = loader.get()
    request.app.state.opt_out_service.opt_outs.active(None)
    return Health(status="ready", release=release.version)


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus; no label holds a user id."""
    requests: RequestMetrics = request.app.state.metrics
    return Response(requests.exposition(_served(request)), media_type=CONTENT_TYPE_LATEST)


def _served(request: Request) -> ReleaseTimes | None:
    loader: ReloadingRelease = request.app.state.release_loader
    try:
        manifest = loader.get().manifest
    except ReleaseMissing:
        return None
    return ReleaseTimes(manifest.built_at, manifest.as_of)
