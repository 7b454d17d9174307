"""Where the next page of a feed begins: opaque to clients, without a word about the user.

A cursor carries hashes of the items that its pages have shown, so that the list goes on whatever becomes of the ranking
in between: a new release, an opt-out, an erasure. It holds nothing that the pages themselves did not.
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
"""Items that a cursor names; a list that went on for longer continues in its own release alone."""
MAX_CURSOR_LENGTH = 6000
"""Characters of a cursor that names so many."""
_END = b"\0"  # no JSON holds it


class BadCursor(TastefeedError):
    """A cursor that no feed has given out."""


class CursorExpired(TastefeedError):
    """A cursor whose list cannot be continued."""


class Cursor(BaseModel):
    """A place in one list. Within a release, pages are cut from one ranking: that of `since`, when it began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str = Field(max_length=64, description="the release that ranked every page; empty where several did")
    personalized: bool = Field(description="whether the last page was of somebody's own list")
    since: datetime = Field(description="what the user did later only leaves out, and does not rank anew")
    offset: int = Field(ge=0, le=10_000_000, description="places of that ranking passed by")
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
            release = ""  # a place in this ranking says nothing of what the one before has shown
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
