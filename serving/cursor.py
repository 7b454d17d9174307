"""Cursors: where the next page of a feed begins. They are opaque to clients and contain nothing about the user.

A cursor contains hashes of the items that its pages have shown. So the list continues after a new release, an opt-out
or an erasure. It reveals nothing that the pages did not show.
"""

import base64
import binascii
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import TastefeedError

HASH = np.dtype("<u4")
MAX_SHOWN = 1000
"""Items in a cursor; a longer list continues only within its own release."""
MAX_CURSOR_LENGTH = 6000
"""Characters of a cursor with that many items."""
_END = b"\0"  # JSON cannot contain it


class BadCursor(TastefeedError):
    """A cursor that no feed has issued."""


class CursorExpired(TastefeedError):
    """A cursor whose list cannot be continued."""


class Cursor(BaseModel):
    """A position in one list. Within a release, all pages come from one ranking, as of `since`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str = Field(max_length=64, description="the release that ranked every page; empty where several did")
    personalized: bool = Field(description="whether the last page was personalized")
    since: datetime = Field(description="later interactions only remove items; they do not change the ranking")
    offset: int = Field(ge=0, le=10_000_000, description="places of that ranking that are behind")
    rank: int = Field(ge=0, le=10_000_000, description="items shown")
    shown: bytes = Field(b"", exclude=True, description="hashes of the items shown, while they are few enough")

    @property
    def hashes(self) -> NDArray[np.uint32]:
        """[N] hashes of the items shown."""
        return np.frombuffer(self.shown, HASH)

    @property
    def complete(self) -> bool:
        """Whether every item shown is named, so that another ranking can continue."""
        return len(self.shown) == self.rank * HASH.itemsize

    def after(self, hashes: NDArray[np.uint32], *, release: str, personalized: bool, offset: int) -> "Cursor":
        """The cursor after a page that showed items of these hashes and ended at place `offset` of its ranking."""
        rank = self.rank + len(hashes)
        if (self.release, self.personalized) != (release, personalized):
            release = ""  # an offset in this ranking does not cover what the one before has shown
        shown = self.shown + hashes.astype(HASH).tobytes() if self.complete and rank <= MAX_SHOWN else b""
        place = {"release": release, "personalized": personalized, "offset": offset, "rank": rank, "shown": shown}
        return self.model_copy(update=place)

    def encoded(self) -> str:
        """As text for a URL."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode() + _END + self.shown).decode().rstrip("=")


def decoded(text: str) -> Cursor:
    """Read what `encoded` wrote. Raises `BadCursor`."""
    try:
        padded = text + "=" * (-len(text) % 4)
        place, _, shown = base64.b64decode(padded, altchars=b"-_", validate=True).partition(_END)
        cursor = Cursor.model_validate_json(place).model_copy(update={"shown": shown})
    except (binascii.Error, ValidationError, ValueError):
        raise BadCursor("this cursor was not given out by a feed; leave it out to start at the top") from None
    if cursor.since.tzinfo is None or len(shown) % HASH.itemsize or len(shown) > MAX_SHOWN * HASH.itemsize:
        raise BadCursor("this cursor was not given out by a feed; leave it out to start at the top")
    return cursor


def item_hashes(item_ids: Iterable[str]) -> NDArray[np.uint32]:
    """[I] a hash of each id, the same in every release and process."""
    digests = b"".join(blake2b(str(item).encode(), digest_size=HASH.itemsize).digest() for item in item_ids)
    return np.frombuffer(digests, HASH)
