"""Templates, and the headers of every page: nothing from elsewhere is loaded, nothing is kept by a shared cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # the address holds a user id: no other site is sent it; with "no-referrer" forms would carry `Origin: null`
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def web_link(url: str | None) -> str | None:
    """The address if a browser may follow it: a catalogue could hold `javascript:`."""
    return url if url and url.lower().startswith(("https://", "http://")) else None


def coded(text: str) -> Markup:
    """Text with what stands between backticks as code."""
    parts = [
        f"<code>{escape(part)}</code>" if place % 2 else escape(part) for place, part in enumerate(text.split("`"))
    ]
    return Markup("").join(Markup(part) for part in parts)  # noqa: S704  each part was escaped


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined
)
_ENVIRONMENT.filters.update(web_link=web_link, coded=coded)


def rendered(
    template: str, facts: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page."""
    page = _ENVIRONMENT.get_template(template).render(facts)
    return HTMLResponse(page, status_code=status, headers={**HEADERS, **(headers or {})})


def described(openapi: Mapping[str, Any]) -> dict[str, Any]:
    """What the docs page shows of an OpenAPI document: calls, parameters, and the shapes they speak of."""
    calls = [
        {"method": method.upper(), "path": path, "parameters": call.get("parameters", []), **_summary(call)}
        for path, methods in openapi["paths"].items()
        for method, call in methods.items()
    ]
    schemas = openapi.get("components", {}).get("schemas", {})
    return {"title": openapi["info"]["title"], "calls": calls, "schemas": schemas, "type_of": type_of}


def type_of(schema: Mapping[str, Any]) -> str:
    """A JSON schema's type in a few words."""
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
