"""`GET /v1/users/{user_id}/home-feed`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request

from serving.accept_language import accepted
from serving.auth import BEARER, may_read
from serving.cursor import MAX_CURSOR_LENGTH
from serving.feed import Feed, HomeFeed
from serving.id_parameters import PathId
from serving.request_metrics import Metrics

router = APIRouter(tags=["feed"], dependencies=[Depends(BEARER), Depends(may_read)])
Limit = Annotated[int, Query(ge=1, le=200, description="items at most; a list that ends earlier is shorter")]
CursorText = Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH, description="`cursor` of the page before")]
Language = Annotated[
    Literal["auto"] | None, Query(description="`auto`: everyone's list in the languages of `Accept-Language`")
]
SecGpc = Annotated[
    list[str] | None, Header(alias="Sec-GPC", description="`1`: Global Privacy Control, no profile is read")
]
AcceptLanguage = Annotated[list[str] | None, Header(description="as in RFC 9110; read with `language=auto`")]


@router.get("/v1/users/{user_id:id}/home-feed")
def home_feed(
    request: Request,
    user_id: PathId,
    limit: Limit = 50,
    cursor: CursorText = None,
    language: Language = None,
    accept_language: AcceptLanguage = None,
    sec_gpc: SecGpc = None,
) -> Feed:
    """A user's home feed; it says why where it is not personalized. An unknown user gets everyone's list."""
    home: HomeFeed = request.app.state.home
    languages = accepted(",".join(accept_language or [])) if language else None
    feed = home.feed(
        user_id,
        limit=limit,
        cursor=cursor,
        languages=languages,
        gpc=refuses_profiles(sec_gpc),
        request_id=request.state.request_id,
    )
    metrics: Metrics = request.app.state.metrics
    metrics.feeds.labels(feed.reason or "personalized").inc()
    return feed


def refuses_profiles(sec_gpc: list[str] | None) -> bool:
    """Whether the request carries Global Privacy Control: sent more than once, one `1` is enough."""
    return any(value.strip() == "1" for line in sec_gpc or [] for value in line.split(","))
