"""Column names, typed once; nobody writes `"user_id"` by hand elsewhere."""

from typing import NewType

UserId = NewType("UserId", str)
"""A user as the product knows them."""
ItemId = NewType("ItemId", str)
"""An item as the product knows it."""
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
"""The instant a derived row was computed for: it saw only events strictly before it."""
