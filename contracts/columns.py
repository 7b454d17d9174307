"""Column names and id types, defined once; other modules never repeat `"user_id"` as a literal."""

from typing import NewType

UserId = NewType("UserId", str)
"""A user's id in the product."""
ItemId = NewType("ItemId", str)
"""An item's id in the product."""
UserRow = NewType("UserRow", int)
"""A user's row in an embedding table."""
ItemRow = NewType("ItemRow", int)
"""An item's row in an embedding table."""

EVENT_ID = "event_id"
USER_ID = "user_id"
ITEM_ID = "item_id"
ACTION = "action"
TIMESTAMP = "timestamp"
SESSION_ID = "session_id"
REQUEST_ID = "request_id"
POSITION = "position"
PROPENSITY = "propensity"
LANDED_AT = "landed_at"
FILE = "file"

TITLE = "title"
CREATOR_ID = "creator_id"
CATEGORIES = "categories"
LANGUAGE = "language"
CREATED_AT = "created_at"
REMOVED_AT = "removed_at"
URL = "url"
IMAGE_URL = "image_url"
EMBEDDING = "embedding"
REGION = "region"

SUBJECT_TYPE = "subject_type"
SUBJECT_ID = "subject_id"
FLAG = "flag"
OPTED_OUT = "opted_out"
EFFECTIVE_AT = "effective_at"

REASON = "reason"
AS_OF = "as_of"
CUT = "cut"
"""The cutoff of a derived row: only events strictly before it are used."""
