"""`GET /`: the feed as a page, and `GET /docs`: the calls as a page. Neither needs a script or another host."""

from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from contracts.opt_out_flags import Flag, SubjectType
from serving.auth import NotAuthenticated, Role, check_same_origin, may_administer, may_read
from serving.cursor import BadCursor, CursorExpired
from serving.feed import HomeFeed
from serving.id_parameters import QueryId, id_of_request
from serving.pages import described, rendered
from serving.routes.feed import CursorText, SecGpc, refuses_profiles

router = APIRouter(include_in_schema=False)
PAGE_ITEMS = 30
FORM_FIELDS = 10


@router.head("/")
@router.get("/", response_class=HTMLResponse)
def home(request: Request, user_id: QueryId = "", cursor: CursorText = None, sec_gpc: SecGpc = None) -> Response:
    """The feed of a user, or everyone's."""
    try:
        may_read(request)
    except NotAuthenticated as error:  # a browser asks its user for the key as a password
        challenge = {"WWW-Authenticate": 'Basic realm="tastefeed: any name, a key as the password"'}
        return rendered("refused.html", {"message": str(error)}, status=401, headers=challenge)
    feeds: HomeFeed = request.app.state.home
    try:
        feed = feeds.feed(user_id or None, limit=PAGE_ITEMS, cursor=cursor, gpc=refuses_profiles(sec_gpc))
    except (BadCursor, CursorExpired):
        return _page_of(user_id)
    switchable = request.app.state.keys.allows(request, Role.ADMIN)
    facts = {"feed": feed, "user_id": user_id, "first": cursor is None, "switchable": switchable}
    return rendered("home.html", facts)


class Switch(BaseModel):
    """What the page's buttons send."""

    model_config = ConfigDict(frozen=True)

    user_id: Annotated[str, BeforeValidator(id_of_request)]
    opted_out: bool


async def switch_of_form(request: Request) -> Switch:
    """Read the form. FastAPI's own reader would replace bytes that are not UTF-8, and with them change the id."""
    try:
        fields = parse_qsl((await request.body()).decode("ascii"), errors="strict", max_num_fields=FORM_FIELDS)
        return Switch.model_validate(dict(fields))
    except ValidationError as error:
        raise RequestValidationError([{**part, "loc": ("body", *part["loc"])} for part in error.errors()]) from None
    except ValueError:
        broken = {"loc": ("body",), "msg": "is no form: percent-encode its values as UTF-8", "type": "form_invalid"}
        raise RequestValidationError([broken]) from None


@router.post("/personalization", dependencies=[Depends(may_administer), Depends(check_same_origin)])
def switch(request: Request, form: Annotated[Switch, Depends(switch_of_form)]) -> RedirectResponse:
    """The page's switch. Only this server's own page may use it, for a browser sends the key along by itself."""
    wishes: Any = request.app.state.wishes
    change = wishes.opt_out if form.opted_out else wishes.opt_in
    change(SubjectType.USER, form.user_id, Flag.PERSONALIZATION)
    return _page_of(form.user_id)


def _page_of(user_id: str) -> RedirectResponse:
    # relative: behind a proxy the server does not know the scheme that the browser uses
    return RedirectResponse(f"/?{urlencode({'user_id': user_id})}", status_code=303)


@router.head("/docs")
@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Every call, from the OpenAPI document."""
    return rendered("docs.html", described(request.app.openapi()))
