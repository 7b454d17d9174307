"""Cursors: where the next page of a feed begins. They are opaque to clients and contain nothing about the user.

A cursor contains hashes of the items that its pages have shown. So the list continues after a new release, an opt-out
or an erasure. It reveals nothing that the pages did not show. It is signed, so that a client can neither write nor
change one. All servers of a lake have the same keys, from the setting or from a file in the lake's folder.
"""

import base64
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b, sha256
from secrets import token_urlsafe

import numpy as np
from itsdangerous import BadSignature, Signer
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts import Settings
from contracts.errors import TastefeedError
from serving.shared_keys import KEY_BYTES, key_in_lake

HASH = np.dtype("<u4")
MAX_SHOWN = 1000
"""Items in a cursor; a longer list continues only within its own release."""
MAX_CURSOR_LENGTH = 6000
"""Characters of a cursor with that many items."""
KEY_FILE = ".cursor_key"
_END = b"\0"  # JSON cannot contain it


class BadCursor(TastefeedError):
    """A cursor that no feed has issued."""


class CursorExpired(TastefeedError):
    """A cursor whose list cannot be continued."""


class Cursor(BaseModel):
    """A position in one list. Within a release, all pages come from one ranking, as of `since`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    release: str = Field(max_length=64, description="the release that ranked every page; empty where several did")
    personalized: bool = Field(description="whether any page was personalized")
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
        personalized = personalized or self.personalized
        shown = self.shown + hashes.astype(HASH).tobytes() if self.complete and rank <= MAX_SHOWN else b""
        place = {"release": release, "personalized": personalized, "offset": offset, "rank": rank, "shown": shown}
        return self.model_copy(update=place)


class CursorSigner:
    """Writes cursors as signed text for a URL, and reads them."""

    def __init__(self, keys: str) -> None:
        """`keys` are separated by commas: the first one signs, all of them are accepted."""
        accepted = [key for part in keys.split(",") if (key := part.strip())]
        self._signer = Signer(accepted[::-1], salt=__name__, digest_method=sha256)  # the last one of these signs

    @classmethod
    def temporary(cls) -> "CursorSigner":
        """With a key that ends with this process."""
        return cls(token_urlsafe(KEY_BYTES))

    def encoded(self, cursor: Cursor) -> str:
        """As text."""
        content = cursor.model_dump_json().encode() + _END + cursor.shown
        return self._signer.sign(base64.urlsafe_b64encode(content).rstrip(b"=")).decode()

    def decoded(self, text: str) -> Cursor:
        """Read what `encoded` wrote. Raises `BadCursor`."""
        try:
            content = self._signer.unsign(text)
            place, _, shown = base64.urlsafe_b64decode(content + b"=" * (-len(content) % 4)).partition(_END)
            return Cursor.model_validate_json(place).model_copy(update={"shown": shown})
        except (BadSignature, ValidationError, ValueError):  # text with other characters than ASCII cannot be read
            raise BadCursor("this cursor was not given out by a feed; leave it out to start at the top") from None


def signing_keys(settings: Settings) -> str:
    """The keys of the setting, or else the random key in the lake's folder. Raises `BadSetting`."""
    own = settings.cursor_keys.get_secret_value().strip(" ,")
    return own or key_in_lake(settings, KEY_FILE, setting="TASTEFEED_CURSOR_KEYS")


def item_hashes(item_ids: Iterable[str]) -> NDArray[np.uint32]:
    """[I] a hash of each id, the same in every release and process."""
    digests = [blake2b(str(item).encode(), digest_size=HASH.itemsize).digest() for item in item_ids]
    return np.frombuffer(b"".join(digests), HASH)


def item_hash(item_id: bytes) -> int:
    """The hash of one id, which is given in UTF-8."""
    return int.from_bytes(blake2b(item_id, digest_size=HASH.itemsize).digest(), "little")
