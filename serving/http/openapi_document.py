"""The OpenAPI document of the HTTP application: FastAPI's own, with the errors and examples of each call."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.http.error_handlers import Problem
from serving.http.routes.openapi_errors import errors_of
from serving.http.routes.openapi_examples import ANSWERS

SCHEMAS = "#/components/schemas/"
INLINED = "#/$defs/"
UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with our errors, where every reference resolves; built once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in UNUSED_SCHEMAS:
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
        for path, methods in document["paths"].items():
            for call in methods.values():
                _describe(app, path, call)
        app.openapi_schema = with_shared_schemas(document)
    return app.openapi_schema


def _describe(app: FastAPI, path: str, call: dict[str, Any]) -> None:
    """Add the errors and the example of one call; without keys, no call needs one."""
    errors = errors_of(path, call, keys=app.state.api_keys.any)
    call["responses"] = {**_successes(call["responses"]), **errors}
    if example := ANSWERS.get(call["operationId"]):  # added here, because FastAPI drops what is null
        call["responses"]["200"]["content"]["application/json"]["example"] = example
    if not app.state.api_keys.any:
        call.pop("security", None)


def with_shared_schemas(document: dict[str, Any]) -> dict[str, Any]:
    """The document with inlined schemas (`Model.model_json_schema()`) moved to its components. Their references are
    relative to themselves and do not resolve where they are inlined."""
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
