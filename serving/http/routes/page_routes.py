"""`GET /`: the feed as a page, and `GET /docs`: the API as a page. Neither needs a script or another host."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from contracts.opt_out_flags import Flag, SubjectType
from serving.cursor import BadCursor, CursorExpired
from serving.feed import HomeFeed
from serving.feed_request import FeedRequest
from serving.http.api_keys import Role
from serving.http.auth import NotAuthenticated, allows, caller, check_same_origin, may_administer, require
from serving.http.html_pages import PageRoute, render
from serving.http.routes.after_feed import record_feed
from serving.http.routes.request_parameters import CursorText, QueryId, SecGpc, id_of_request, refuses_profiles
from serving.privacy.admin_audit import AdminAudit
from serving.privacy.opt_out_service import OptOutService

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PAGE_ITEMS = 30
FORM_FIELDS = 10


@router.head("/")
@router.get("/", response_class=HTMLResponse)
def home(request: Request, user_id: QueryId = "", cursor: CursorText = None, sec_gpc: SecGpc = None) -> Response:
    """The feed of a user, or the non-profiled list."""
    try:
        require(request.app.state.api_keys, request, Role.FEED)
    except NotAuthenticated as error:  # the browser asks its user for a password, which is the key
        challenge = {"WWW-Authenticate": 'Basic realm="tastefeed: any name, a key as the password"'}
        return render("refused.html", {"message": str(error)}, status=401, headers=challenge)
    feeds: HomeFeed = request.app.state.home_feed
    try:
        served = feeds.served(FeedRequest(user_id or None, PAGE_ITEMS, cursor, gpc=refuses_profiles(sec_gpc)))
    except (BadCursor, CursorExpired):
        return _page_of(user_id)
    switchable = allows(request, Role.ADMIN)
    facts = {
        "feed": record_feed(request, served),
        "user_id": user_id,
        "first": cursor is None,
        "switchable": switchable,
        "erased": Flag.ERASURE in served.context.opt_outs.flags,
    }
    return render("home.html", facts)


class Switch(BaseModel):
    """The form that the page's buttons send."""

    model_config = ConfigDict(frozen=True)

    user_id: Annotated[str, BeforeValidator(id_of_request)]
    opted_out: bool


async def switch_of_form(request: Request) -> Switch:
    """Read the form. FastAPI's parser would replace bytes that are not UTF-8, which changes an id."""
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
    """The page's switch. Only this server's page may use it, because a browser sends the key automatically."""
    service: OptOutService = request.app.state.opt_out_service
    action = "opt_out.set" if form.opted_out else "opt_out.clear"
    audit: AdminAudit = request.app.state.audit
    entry = audit.of_opt_out(caller(request), action, SubjectType.USER, form.user_id, Flag.PERSONALIZATION)
    change = service.opt_out if form.opted_out else service.opt_in
    change(SubjectType.USER, form.user_id, Flag.PERSONALIZATION, entry)
    return _page_of(form.user_id)


def _page_of(user_id: str) -> RedirectResponse:
    # relative, because a server behind a proxy cannot see the scheme that the browser uses
    return RedirectResponse(f"/?{urlencode({'user_id': user_id})}", status_code=303)


@router.head("/docs")
@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """All calls, from the OpenAPI document."""
    return render("docs.html", api_overview(request.app.openapi()))


def api_overview(openapi: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an OpenAPI document that the docs page shows: calls, parameters and schemas."""
    calls = [
        {"method": method.upper(), "path": path, "parameters": call.get("parameters", []), **_summary(call)}
        for path, methods in openapi["paths"].items()
        for method, call in methods.items()
    ]
    schemas = openapi.get("components", {}).get("schemas", {})
    return {"title": openapi["info"]["title"], "calls": calls, "schemas": schemas, "type_of": type_of}


def type_of(schema: Mapping[str, Any]) -> str:
    """A short name for the type of a JSON schema."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(one) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))


def _summary(call: Mapping[str, Any]) -> dict[str, Any]:
    body = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answer = call.get("responses", {}).get("200", {}).get("content", {}).get("application/json", {}).get("schema")
    return {
        "text": call.get("description", ""),
        "body": type_of(body) if body else None,
        "answer": type_of(answer) if answer else None,
        "tag": (call.get("tags") or ["other"])[0],
    }
