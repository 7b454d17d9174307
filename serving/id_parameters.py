"""Ids in requests: read by the rule of `contracts.ids`, wherever in a URL they stand.

An id may hold `/`, so its path parameter is declared as `{user_id:id}`: it takes every character, `/` included, whether
a proxy has decoded `%2F` before or not.
"""

from typing import Annotated
from urllib.parse import quote

from fastapi import Path, Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.convertors import Convertor, register_url_convertor

from contracts.errors import BadId
from contracts.ids import BLANKS, MAX_ID_LENGTH, read_id


class IdConvertor(Convertor[str]):
    """A path parameter of any characters, line breaks and `/` included; what is no id is refused later."""

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


DOCUMENTED = r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u001f\u007f-\u009f\s][^\u0000-\u001f\u007f-\u009f]*$"
"""What the OpenAPI document says of an id, in the regular expressions of JSON Schema."""
PathId = Annotated[
    str,
    BeforeValidator(id_of_request),
    Path(
        min_length=1,
        max_length=MAX_ID_LENGTH,
        description="any id, percent-encoded",
        json_schema_extra={"pattern": DOCUMENTED},
    ),
]
QueryId = Annotated[
    str, BeforeValidator(_id_or_blank), Query(max_length=MAX_ID_LENGTH, description="any id; blank: no user")
]
