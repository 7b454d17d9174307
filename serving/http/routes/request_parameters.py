"""Parameters of requests: ids anywhere in a URL, the page of a feed, languages and Global Privacy Control.

An id may hold `/`, so its path parameter is declared as `{user_id:id}`: the parameter takes every character, whether or
not a proxy has decoded `%2F` before.
"""

from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Header, Path, Query
from fastapi.responses import Response
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.convertors import Convertor, register_url_convertor

from contracts.atomic_files import sha256_of
from contracts.errors import BadId
from contracts.ids import BLANKS, MAX_ID_LENGTH, read_id
from serving.cursor import MAX_CURSOR_LENGTH
from serving.releases.lookups import primary_language


class IdConvertor(Convertor[str]):
    """A path parameter of any characters, line breaks and `/` included; validation follows later."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """The text as it stands in the decoded path."""
        return value

    def to_string(self, value: str) -> str:
        """The text for a path, percent-encoded."""
        return quote(value, safe="")


register_url_convertor("id", IdConvertor())


def id_of_request(value: object) -> str:
    """The id that a request names. Raises pydantic's error (over HTTP: 422) with the reason, without the value."""
    try:
        return read_id(value)
    except BadId as error:
        raise PydanticCustomError("bad_id", "{reason}", {"reason": str(error)}) from None


def _id_or_blank(value: object) -> str:
    return "" if isinstance(value, str) and not value.strip(BLANKS) else id_of_request(value)


ID_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u001f\u007f-\u009f\s][^\u0000-\u001f\u007f-\u009f]*$"
"""The pattern of an id in the OpenAPI document, as a regular expression of JSON Schema."""
PathId = Annotated[
    str,
    BeforeValidator(id_of_request),
    Path(
        min_length=1,
        max_length=MAX_ID_LENGTH,
        description="any id, percent-encoded",
        json_schema_extra={"pattern": ID_PATTERN},
    ),
]
BodyId = Annotated[
    str,
    BeforeValidator(id_of_request),
    Field(min_length=1, max_length=MAX_ID_LENGTH, json_schema_extra={"pattern": ID_PATTERN}),
]
QueryId = Annotated[
    str, BeforeValidator(_id_or_blank), Query(max_length=MAX_ID_LENGTH, description="any id; blank: no user")
]
Limit = Annotated[int, Query(ge=1, le=200, description="items at most; a list that ends earlier is shorter")]
CursorText = Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH, description="`cursor` of the page before")]
Language = Annotated[
    Literal["auto"] | None,
    Query(description="`auto`: the non-profiled list in the languages of `Accept-Language`"),
]
SecGpc = Annotated[
    list[str] | None, Header(alias="Sec-GPC", description="`1`: Global Privacy Control, no profile is read")
]
IfNoneMatch = Annotated[list[str] | None, Header(description="as in RFC 9110: an earlier answer's `ETag`")]
AcceptLanguage = Annotated[list[str] | None, Header(description="as in RFC 9110; read with `language=auto`")]


def refuses_profiles(sec_gpc: list[str] | None) -> bool:
    """Whether the request carries Global Privacy Control: where the header is repeated, one `1` is enough."""
    return any(value.strip() == "1" for line in sec_gpc or [] for value in line.split(","))


def with_etag(body: bytes, if_none_match: list[str] | None) -> Response:
    """A JSON answer with its `ETag`, or 304 where the client has it (RFC 9110, section 13.1.2). The tag is weak: a
    compressed answer has the same one."""
    tag = f'"{sha256_of(body)[:32]}"'
    headers = {"ETag": f"W/{tag}", "Cache-Control": "no-cache"}
    known = {part.strip().removeprefix("W/") for line in if_none_match or [] for part in line.split(",")}
    if known & {tag, "*"}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def accepted_languages(header: str | None) -> frozenset[str] | None:
    """The primary languages of `Accept-Language` (RFC 9110, section 12.5.4): `pt` for both `pt-BR` and `pt_BR`.

    `None` where the client accepts all (no header, or `*`). The feed keeps its own order, so a weight matters only
    where it is 0: the client does not accept this language.
    """
    weighted = [_language(part) for part in (header or "").split(",") if part.strip()]
    languages = frozenset(language for language, weight in weighted if weight > 0)
    return None if not weighted or "*" in languages else languages


def _language(part: str) -> tuple[str, float]:
    tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
    return primary_language(tag), next((_weight(piece[2:]) for piece in parameters if piece.startswith("q=")), 1.0)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
