"""The errors of each call in the OpenAPI document: every status that the server or its limits can answer."""

from typing import Any

from serving.http.error_handlers import MEDIA_TYPE

PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
SECONDS = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "seconds to wait"}}
HEADERS = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    "405": {"Allow": {"schema": {"type": "string"}, "description": "methods of this path"}},
    "429": SECONDS,
    "503": SECONDS,
}
OF_EVERY_CALL = {
    "408": "the request did not arrive in time",
    "414": "the address is too long",
    "422": "a parameter or the body is invalid; `errors` lists each part",
    "431": "the headers are too many or too long",
    "500": "a defect of the server; its log has the details",
    "503": "the server is overloaded, has no release, or cannot reach a store; try again",
}
WITH_KEY = {
    "401": "the key is missing or unknown",
    "403": "the role of the key does not allow the call",
    "429": "the key sent more requests than its limit",
}
WITHOUT_KEYS = {"403": "the server has no keys and answers its own machine only"}
WITH_PATH_PARAMETERS = {
    "404": "there is no such path, subject type, flag or switch",
    "405": "the path has no such method",
}
WITH_BODY = {"400": "the body cannot be read as JSON", "413": "the body is too large"}
WITH_CURSOR = {"400": "the cursor is not one of this server", "410": "the list of the cursor has ended"}


def errors_of(path: str, call: dict[str, Any], *, keys: bool) -> dict[str, Any]:
    """The responses of one call, each a problem document."""
    parameters = {parameter["name"] for parameter in call.get("parameters", [])}
    texts = {
        **OF_EVERY_CALL,
        **((WITH_KEY if "security" in call else {}) if keys else WITHOUT_KEYS),
        **(WITH_PATH_PARAMETERS if "{" in path else {}),
        **(WITH_BODY if "requestBody" in call else {}),
        **(WITH_CURSOR if "cursor" in parameters else {}),
    }
    return {status: _response(status, texts[status]) for status in sorted(texts)}


def _response(status: str, text: str) -> dict[str, Any]:
    response: dict[str, Any] = {"description": text, "content": PROBLEM}
    return {**response, "headers": HEADERS[status]} if status in HEADERS else response
