"""`GET /`: the feed as a page, and `GET /docs`: the calls as a page. Neither needs a script or another host."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Header, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import URL

from tastefeed.contracts.opt_outs import Flag, SubjectType
from tastefeed.serving.feed import HomeFeed
from tastefeed.serving.keys import NotAllowed, NotAuthenticated, may_administer, may_read
from tastefeed.serving.pages import described, rendered
from tastefeed.serving.routes.feed import SecGpc, refuses_profiles

router = APIRouter(include_in_schema=False)
PAGE_ITEMS = 30
UserText = Annotated[str, Query(max_length=512)]
CursorText = Annotated[str | None, Query(max_length=1024)]


@router.get("/")
def home(request: Request, user_id: UserText = "", cursor: CursorText = None, sec_gpc: SecGpc = None) -> HTMLResponse:
    """The feed of a user, or everyone's."""
    try:
        may_read(request)
    except NotAuthenticated as error:  # a browser asks its user for the key as a password
        challenge = {"WWW-Authenticate": 'Basic realm="tastefeed: any name, a key as the password"'}
        return rendered("refused.html", {"message": str(error)}, status=401, headers=challenge)
    feeds: HomeFeed = request.app.state.home
    feed = feeds.feed(user_id or None, limit=PAGE_ITEMS, cursor=cursor, gpc=refuses_profiles(sec_gpc))
    return rendered("home.html", {"feed": feed, "user_id": user_id, "first": cursor is None})


@router.post("/personalization", dependencies=[Depends(may_administer)])
def switch(
    request: Request,
    user_id: Annotated[str, Form(min_length=1, max_length=512)],
    opted_out: Annotated[bool, Form()],
    origin: Annotated[str | None, Header()] = None,
) -> RedirectResponse:
    """The page's switch. Only this server's own page may use it, for a browser sends the key along by itself."""
    if origin is not None and URL(origin).netloc != request.headers.get("host"):
        raise NotAllowed("this form was sent from another site")
    wishes: Any = request.app.state.wishes
    say = wishes.opt_out if opted_out else wishes.opt_in
    say(SubjectType.USER, user_id, Flag.PERSONALIZATION)
    return RedirectResponse(request.url_for("home").include_query_params(user_id=user_id), status_code=303)


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Every call, from the OpenAPI document."""
    return rendered("docs.html", described(request.app.openapi()))
