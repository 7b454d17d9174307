"""Errors of the client. No message contains an id, a key or an address of a request."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class TastefeedClientError(Exception):
    """Any error of a call."""


class NoAnswer(TastefeedClientError):
    """The server did not answer: no connection, no answer in time or a broken one, or no valid address or
    header."""


class Problem(BaseModel):
    """RFC 9457: the body of an error."""

    model_config = ConfigDict(frozen=True)

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    errors: list[dict[str, Any]] = []


class RequestRefused(TastefeedClientError):
    """The server refused the call, or could not answer it; or another program answered in its place.

    `kind` names the kind of error, as in `cursor-expired`; it is empty where the status is enough. `request_id` finds
    the request in the server's log.
    """

    def __init__(self, call: str, status: int, problem: Problem, request_id: str) -> None:
        """An answer with another status than that of success, or one that is not of the API."""
        super().__init__(f"{call}: {status} {problem.title}: {problem.detail}")
        self.status, self.detail, self.errors, self.request_id = status, problem.detail, problem.errors, request_id
        self.kind = problem.type.removeprefix("urn:tastefeed:problem:").removeprefix("about:blank")


REDIRECT = Problem(title="Redirect", detail="the client follows none; use the address that it names as base_url")
NOT_THE_API = Problem(
    title="Unexpected Answer", detail="it is not of this API; check base_url, or the proxy that sent it"
)


def problem_of(body: bytes) -> Problem:
    """The problem document of an answer; an empty one where a proxy answered with something else."""
    try:
        return Problem.model_validate_json(body)
    except ValidationError:
        return Problem(detail="the answer is no problem document; a proxy may have sent it")
