"""Where the next page of a feed begins: opaque to clients, without a word about the user."""

import base64
import binascii
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tastefeed.contracts.errors import TastefeedError


class BadCursor(TastefeedError):
    """A cursor that no feed has given out."""


class Cursor(BaseModel):
    """A place in one list. Pages of a list are cut from one ranking: that of `since`, when the first was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str = Field(max_length=64, description="the release that ranked the list")
    personalized: bool = Field(description="whether it is somebody's own list")
    since: datetime = Field(description="what the user did later only leaves out, and does not rank anew")
    offset: int = Field(ge=0, le=1_000_000, description="items of the ranking passed by")
    rank: int = Field(ge=0, le=1_000_000, description="items shown")

    def encoded(self) -> str:
        """As text for a URL."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")


def decoded(text: str) -> Cursor:
    """Read what `encoded` wrote. Raises `BadCursor`."""
    try:
        padded = text + "=" * (-len(text) % 4)
        cursor = Cursor.model_validate_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValidationError, ValueError):
        raise BadCursor("this cursor was not given out by a feed; leave it out to start at the top") from None
    if cursor.since.tzinfo is None:
        raise BadCursor("this cursor's time has no zone; leave it out to start at the top")
    return cursor
