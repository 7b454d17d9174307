"""The HTTP API: `/v1` with feeds, opt-outs, events and the current release, and the state of the server.

A server's state is `/healthz`, `/readyz` and `/metrics`; they need no key.
"""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from anyio import to_thread
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from contracts.errors import OptOutStoreUnavailable
from contracts.opt_out_flags import Flag, SubjectType, checked
from contracts.request_stages import measured_stages
from serving.bulk_feed import BulkFeed, FeedBatch
from serving.event_validation import Event, Receipt, store_valid_events
from serving.feed import Feed, HomeFeed
from serving.feed_request import FeedRequest
from serving.http.auth import ADMIN_KEY, FEED_KEY, caller
from serving.http.request_metrics import RequestMetrics
from serving.http.routes import openapi_examples
from serving.http.routes.after_feed import record_feed, record_feeds
from serving.http.routes.request_parameters import (
    AcceptLanguage,
    BodyId,
    CursorText,
    IfNoneMatch,
    Language,
    Limit,
    PathId,
    SecGpc,
    accepted_languages,
    refuses_profiles,
    with_etag,
)
from serving.http.server_state import ServerState
from serving.privacy.admin_audit import AdminAudit
from serving.privacy.audit_rows import AuditRow
from serving.privacy.opt_out_service import OptOutService
from serving.releases.manifest import ReducedTo
from serving.releases.release_loader import ReloadingRelease

router = APIRouter(prefix="/v1")
server_router = APIRouter(tags=["server"])
MAX_USERS, MAX_ITEMS = 500, 25_000
"""Of one request for many feeds."""
FEED, FEED_BATCH = TypeAdapter(Feed), TypeAdapter(FeedBatch)
OPT_OUT = "/opt-outs/{subject_type}/{subject_id:id}/{flag}"
# text, not enums: the error for an unknown subject type or flag lists the valid ones
SubjectTypeText = Annotated[str, Path(json_schema_extra={"enum": [*SubjectType]})]
FlagText = Annotated[str, Path(json_schema_extra={"enum": [*Flag]}, description="users have all but recommendation")]


@router.get("/users/{user_id:id}/home-feed", tags=["feed"], dependencies=FEED_KEY, response_model=Feed)
def home_feed(
    request: Request,
    user_id: PathId,
    limit: Limit = 50,
    cursor: CursorText = None,
    language: Language = None,
    accept_language: AcceptLanguage = None,
    sec_gpc: SecGpc = None,
) -> Response:
    """The home feed of a user, with the reason where it is not personalized. An unknown user gets the non-profiled
    list."""
    home: HomeFeed = request.app.state.home_feed
    languages = accepted_languages(",".join(accept_language or [])) if language else None
    wanted = FeedRequest(user_id, limit, cursor, languages, refuses_profiles(sec_gpc), request.state.request_id)
    return _as_json(FEED, record_feed(request, home.served(wanted)))


class FeedsRequest(BaseModel):
    """The users whose feeds are requested together."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"example": openapi_examples.FEEDS_REQUEST}
    )

    user_ids: Annotated[list[BodyId], Field(min_length=1, max_length=MAX_USERS, description="answered in this order")]
    limit: Annotated[int, Field(ge=1, le=200, description="items of a feed at most; all feeds: 25,000")] = 50
    language: Annotated[Literal["auto"] | None, Field(description="as in `GET /v1/users/{user_id}/home-feed`")] = None

    @model_validator(mode="after")
    def _is_not_too_long(self) -> Self:
        if len(self.user_ids) * self.limit > MAX_ITEMS:
            raise PydanticCustomError(
                "too_many_items", "asks for more than 25,000 items; lower `limit` or send fewer users"
            )
        return self


@router.post("/home-feeds", tags=["feed"], dependencies=FEED_KEY, response_model=FeedBatch)
def home_feeds(
    request: Request,
    asked: FeedsRequest,
    accept_language: AcceptLanguage = None,
    sec_gpc: SecGpc = None,
) -> Response:
    """The first pages of many users' home feeds, without explanations. Ids are in the body, so that no log of addresses
    contains them. `Sec-GPC: 1` counts for every user of the request."""
    bulk: BulkFeed = request.app.state.bulk_feed
    with measured_stages() as stages:
        served = bulk.served(
            asked.user_ids,
            limit=asked.limit,
            languages=accepted_languages(",".join(accept_language or [])) if asked.language else None,
            gpc=refuses_profiles(sec_gpc),
            request_id=request.state.request_id,
        )
    return _as_json(FEED_BATCH, record_feeds(request, served, stages))


def _as_json(adapter: TypeAdapter[Any], answer: Feed | FeedBatch) -> Response:
    """The answer as bytes. FastAPI would validate it in another thread, and each change of thread takes 0.3 ms."""
    return Response(adapter.dump_json(answer), media_type="application/json")


class FlagState(BaseModel):
    """One flag of one subject; `effective_at` is null where the flag was never set."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    subject_type: SubjectType
    subject_id: str
    flag: Flag
    opted_out: bool
    effective_at: datetime | None


@router.get(OPT_OUT, tags=["opt-outs"], dependencies=ADMIN_KEY)
def read_opt_out(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """The state of the flag now."""
    subject, name = checked(subject_type, flag)
    record = _service(request).opt_outs.get(subject, subject_id, name)
    if record is None:
        return FlagState(subject_type=subject, subject_id=subject_id, flag=name, opted_out=False, effective_at=None)
    return FlagState.model_validate(record)


@router.put(OPT_OUT, tags=["opt-outs"], dependencies=ADMIN_KEY)
def set_opt_out(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """Opt out, from the next request on. Erasure also drops the user's posted events."""
    entry = _audit_row(request, "opt_out.set", subject_type, subject_id, flag)
    return FlagState.model_validate(_service(request).opt_out(subject_type, subject_id, flag, entry))


@router.delete(OPT_OUT, tags=["opt-outs"], dependencies=ADMIN_KEY)
def clear_opt_out(request: Request, subject_type: SubjectTypeText, subject_id: PathId, flag: FlagText) -> FlagState:
    """Withdraw an opt-out, from the next request on."""
    entry = _audit_row(request, "opt_out.clear", subject_type, subject_id, flag)
    return FlagState.model_validate(_service(request).opt_in(subject_type, subject_id, flag, entry))


def _audit_row(request: Request, action: str, subject_type: str, subject_id: str, flag: str) -> AuditRow:
    audit: AdminAudit = request.app.state.audit
    return audit.of_opt_out(caller(request), action, subject_type, subject_id, flag)


class Batch(BaseModel):
    """Rows of the events table."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra={"example": openapi_examples.EVENTS})

    events: Annotated[
        list[Any],  # rows are validated one by one: an invalid row is an error of its own, not of the batch
        Field(max_length=1000, json_schema_extra={"items": Event.model_json_schema()}),
    ]


@router.post("/events", tags=["events"], dependencies=FEED_KEY)
def post_events(request: Request, batch: Batch) -> Receipt:
    """Store the valid rows durably and report the others; a row that is posted again is stored once."""
    state: Any = request.app.state
    receipt = store_valid_events(batch.events, state.event_store, state.opt_out_service.opt_outs)
    metrics: RequestMetrics = state.metrics
    metrics.events.labels("accepted").inc(receipt.accepted)
    for error in receipt.errors:
        metrics.events.labels(error.reason).inc()
    return receipt


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
    "/releases/current",
    tags=["server"],
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
    """The state of a server that is ready."""

    substitute_for: str | None = None


@server_router.head("/healthz", include_in_schema=False)
@server_router.get("/healthz")
async def healthz() -> Health:
    """The process is alive. This needs no thread, so it is answered while requests occupy all of them."""
    return Health(status="alive")


@server_router.head("/readyz", include_in_schema=False)
@server_router.get("/readyz")
async def readyz(request: Request) -> Readiness:
    """The server has a release and can read the opt-outs, so that it can personalize feeds; otherwise 503."""
    return await to_thread.run_sync(_readiness, request, limiter=request.app.state.health_threads)


def _readiness(request: Request) -> Readiness:
    loader = _loader(request)
    loader.get()  # a new lake has neither a release nor a store: the answer names the night
    release = loader.under_pin(_service(request).opt_outs.switches().pinned_release)
    return Readiness(status="ready", release=release.version, substitute_for=loader.substitute_for)


@server_router.head("/metrics", include_in_schema=False)
@server_router.get(
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


def _service(request: Request) -> OptOutService:
    service: OptOutService = request.app.state.opt_out_service
    return service


def _loader(request: Request) -> ReloadingRelease:
    loader: ReloadingRelease = request.app.state.release_loader
    return loader
