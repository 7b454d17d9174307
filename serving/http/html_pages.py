"""Pages from templates, with their Content-Security-Policy. A browser gets an error of a page as a page too."""

import base64
import json
from collections.abc import Callable, Coroutine, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from contracts.errors import TastefeedError
from serving.http.error_handlers import problem_of, problem_of_request, slug_of
from serving.http.security_headers import PAGE_POLICY

TEMPLATES = Path(__file__).parent / "templates"
KEPT_HEADERS = ("retry-after", "www-authenticate")
"""Headers of a problem document that its page has too."""


def web_link(url: str | None) -> str | None:
    """The address if it is a web address: a catalogue could contain `javascript:`."""
    return url if url and url.lower().startswith(("https://", "http://")) else None


def coded(text: str) -> Markup:
    """Text as HTML, with the parts between backticks as code."""
    parts = [
        f"<code>{escape(part)}</code>" if place % 2 else escape(part) for place, part in enumerate(text.split("`"))
    ]
    return Markup("").join(Markup(part) for part in parts)  # noqa: S704  each part was escaped


_TEMPLATES = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
_TEMPLATES.filters.update(web_link=web_link, coded=coded)


def page_policy() -> str:
    """The Content-Security-Policy of pages, with the hash of their one style sheet. No other style is applied."""
    sheet = (TEMPLATES / "base.html").read_text("utf-8").split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(sha256(sheet.encode()).digest()).decode()
    return PAGE_POLICY.format(styles=f"'sha256-{digest}'")


_POLICY = {"Content-Security-Policy": page_policy()}


def render(
    template: str, facts: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page from a template."""
    page = _TEMPLATES.get_template(template).render(facts)
    return HTMLResponse(page, status_code=status, headers={**_POLICY, **(headers or {})})


class PageRoute(APIRoute):
    """A route whose errors are pages for a client that asks for HTML, and problem documents for all others."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that FastAPI calls."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except (TastefeedError, RequestValidationError) as error:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                request.state.problem = slug_of(error)
                return problem_page(error)

        return answer


def problem_page(error: TastefeedError | RequestValidationError) -> HTMLResponse:
    """The problem document of an error as a page."""
    document = problem_of(error) if isinstance(error, TastefeedError) else problem_of_request(error)
    headers = {name: document.headers[name] for name in KEPT_HEADERS if name in document.headers}
    return render("problem.html", json.loads(bytes(document.body)), status=document.status_code, headers=headers)
