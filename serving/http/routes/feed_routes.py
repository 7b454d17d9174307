"""The HTTP API of feeds: the home feed of one user, and the first pages of many."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from contracts.request_stages import measured_stages
from serving.bulk_feed import BulkFeed, FeedBatch
from serving.feed import Feed, HomeFeed
from serving.feed_request import FeedRequest
from serving.http.auth import FEED_KEY
from serving.http.routes import openapi_examples
from serving.http.routes.after_feed import record_feed, record_feeds
from serving.http.routes.request_parameters import (
    AcceptLanguage,
    BodyId,
    CursorText,
    Language,
    Limit,
    PathId,
    SecGpc,
    accepted_languages,
    refuses_profiles,
)

router = APIRouter(prefix="/v1", tags=["feed"], dependencies=FEED_KEY)
MAX_USERS, MAX_ITEMS = 500, 25_000
"""Limits of one request for many feeds."""
FEED, FEED_BATCH = TypeAdapter(Feed), TypeAdapter(FeedBatch)


@router.get("/users/{user_id:id}/home-feed", response_model=Feed)
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


@router.post("/home-feeds", response_model=FeedBatch)
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
