"""`/healthz`, `/readyz`, `/metrics` and `/v1/releases/current`."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from serving.auth import BEARER, may_administer
from serving.releases.release_loader import HeldRelease
from serving.request_metrics import Metrics

router = APIRouter(tags=["server"])


class Health(BaseModel):
    """The server answers."""

    status: str
    release: str | None = None


class CurrentRelease(BaseModel):
    """What is served."""

    version: str
    built_at: datetime
    as_of: datetime
    profiled: bool
    metrics: dict[str, Any]


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
def healthz() -> Health:
    """The process is alive."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
def readyz(request: Request) -> Health:
    """A release is held and the opt-outs can be read, so that profiled feeds can be answered; else 503."""
    held: HeldRelease = request.app.state.held
    release = held.get()
    request.app.state.wishes.opt_outs.standing(None)
    return Health(status="ready", release=release.version)


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """For Prometheus; no label holds a user."""
    figures: Metrics = request.app.state.metrics
    return Response(figures.exposition(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/releases/current", dependencies=[Depends(BEARER), Depends(may_administer)])
def current_release(request: Request) -> CurrentRelease:
    """The release that this answer's worker serves."""
    held: HeldRelease = request.app.state.held
    release = held.get()
    manifest = release.manifest
    return CurrentRelease(
        version=manifest.version,
        built_at=manifest.built_at,
        as_of=manifest.as_of,
        profiled=release.profiled,
        metrics=release.metrics,
    )
