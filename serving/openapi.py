"""The OpenAPI document: FastAPI's, with our errors, and with every reference pointing to something."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.error_handlers import MEDIA_TYPE, Problem

SCHEMAS = "#/components/schemas/"
INLINED = "#/$defs/"
NOT_OURS = ("HTTPValidationError", "ValidationError")
ERRORS = {
    "4XX": "the request is refused: an RFC 9457 problem document says why",
    "5XX": "the server cannot answer: an RFC 9457 problem document says why",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The document of an application, made once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in NOT_OURS:
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
        for methods in made["paths"].values():
            for call in methods.values():
                call["responses"] = {**_successes(call["responses"]), **_errors()}
                if not app.state.keys.any:
                    call.pop("security", None)
        app.openapi_schema = with_shared_schemas(made)
    return app.openapi_schema


def with_shared_schemas(document: dict[str, Any]) -> dict[str, Any]:
    """The document with schemas that pydantic wrote in place (`Model.model_json_schema()`) under its components: their
    references are relative to themselves, and lead nowhere where they stand."""
    shared: dict[str, Any] = {}
    rewritten: dict[str, Any] = _shared(document, shared)
    rewritten["components"]["schemas"] = {**shared, **rewritten["components"]["schemas"]}
    return rewritten


def _shared(node: Any, shared: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_shared(part, shared) for part in node]
    if not isinstance(node, dict):
        return node
    if str(node.get("$ref", "")).startswith(INLINED):
        return {**node, "$ref": SCHEMAS + node["$ref"].removeprefix(INLINED)}
    rewritten = {name: _shared(part, shared) for name, part in node.items() if name != "$defs"}
    if "$defs" not in node:
        return rewritten
    shared.update({name: _shared(part, shared) for name, part in node["$defs"].items()})
    if "title" not in node:
        return rewritten
    shared[node["title"]] = rewritten
    return {"$ref": SCHEMAS + node["title"]}


def _successes(responses: dict[str, Any]) -> dict[str, Any]:
    return {status: response for status, response in responses.items() if status < "4"}


def _errors() -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": f"{SCHEMAS}Problem"}}}
    return {status: {"description": text, "content": content} for status, text in ERRORS.items()}
