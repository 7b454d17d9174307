"""The schemas of all tables as Arrow schemas, which polars, Spark and pyarrow read.

The input tables (`EVENTS`, `ITEMS`, `USERS`, `OPT_OUTS`) are the public contract; derived tables follow. Every derived
table except `events`, `quarantine` and `sessions` has the column `cut`, a cutoff: only earlier events are used.
"""

import pyarrow as pa

from contracts import columns as c

INSTANT = pa.timestamp("us", tz="UTC")
STRINGS = pa.list_(pa.string())

EVENTS = pa.schema(
    [
        pa.field(c.EVENT_ID, pa.string()),
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field(c.ACTION, pa.string()),
        pa.field(c.TIMESTAMP, INSTANT),
        pa.field(c.SESSION_ID, pa.string()),
        pa.field(c.REQUEST_ID, pa.string()),
        pa.field(c.POSITION, pa.int32()),
        pa.field(c.PROPENSITY, pa.float64()),
    ]
)
ITEMS = pa.schema(
    [
        pa.field(c.ITEM_ID, pa.string()),
        pa.field(c.TITLE, pa.string()),
        pa.field(c.CREATOR_ID, pa.string()),
        pa.field(c.CATEGORIES, STRINGS),
        pa.field(c.LANGUAGE, pa.string()),
        pa.field(c.CREATED_AT, INSTANT),
        pa.field(c.REMOVED_AT, INSTANT),
        pa.field(c.URL, pa.string()),
        pa.field(c.IMAGE_URL, pa.string()),
        pa.field(c.EMBEDDING, pa.list_(pa.float32())),
    ]
)
USERS = pa.schema(
    [
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.LANGUAGE, pa.string()),
        pa.field(c.REGION, pa.string()),
        pa.field(c.CREATED_AT, INSTANT),
    ]
)
OPT_OUTS = pa.schema(
    [
        pa.field(c.SUBJECT_TYPE, pa.string()),
        pa.field(c.SUBJECT_ID, pa.string()),
        pa.field(c.FLAG, pa.string()),
        pa.field(c.OPTED_OUT, pa.bool_()),
        pa.field(c.EFFECTIVE_AT, INSTANT),
    ]
)
REQUIRED = {
    "events": (c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP),
    "items": (c.ITEM_ID,),
    "users": (c.USER_ID,),
    "opt_outs": (c.SUBJECT_TYPE, c.SUBJECT_ID, c.FLAG, c.OPTED_OUT, c.EFFECTIVE_AT),
}
INCOMING = {"events": EVENTS, "items": ITEMS, "users": USERS, "opt_outs": OPT_OUTS}

INGESTED_EVENTS = EVENTS.append(pa.field(c.LANDED_AT, INSTANT))
"""Events in a file of the landing zone: with the instant of their import."""

EVENTS_WITH_FILE = INGESTED_EVENTS.append(pa.field(c.FILE, pa.string()))
"""Events of the landing zone, each with its file, relative to the lake."""

QUARANTINE = EVENTS_WITH_FILE.append(pa.field(c.REASON, pa.string()))
SESSIONS = EVENTS.append(pa.field("session_started_at", INSTANT))
"""One row per event; `session_id` is never null."""

EXPOSURES = pa.schema(
    [
        pa.field("served_at", INSTANT),
        pa.field(c.REQUEST_ID, pa.string()),
        pa.field("release", pa.string()),
        pa.field("user", pa.string()),
        pa.field("segment", pa.string()),
        pa.field("experiment", pa.string()),
        pa.field("arm", pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("sources", STRINGS),
        pa.field(c.PROPENSITY, pa.float32()),
    ]
)
"""One row per item of a personalized page, as the server's exposure log has it. `user` is a pseudonym."""

WINDOWS_DAYS = (1, 7, 28)
"""The windows of recent activity that user and item features count in, days."""


WINDOWS_HOURS = (6, 12, 48, 96)
"""Windows in hours, beside those in days, in which an item's users are counted: new items spread within hours."""


def _windowed(name: str, kind: pa.DataType) -> list[pa.Field]:
    return [pa.field(f"{name}_{days}d", kind) for days in WINDOWS_DAYS]


INTERACTIONS = pa.schema(
    [
        pa.field(c.CUT, INSTANT),
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field("impressions", pa.int64()),
        pa.field("impressions_28d", pa.int64()),
        pa.field("clicks", pa.int64()),
        pa.field("saves", pa.int64()),
        pa.field("hides", pa.int64()),
        pa.field("unhides", pa.int64()),
        pa.field("hidden", pa.bool_()),
        pa.field("click_strength", pa.float64()),
        pa.field("save_strength", pa.float64()),
        pa.field("first_at", INSTANT),
        pa.field("last_at", INSTANT),
        pa.field("last_impression_at", INSTANT),
        pa.field("last_interaction_at", INSTANT),
    ]
)
"""One row per user and item: counts of their events, and strengths that decay exponentially until `cut`. `hidden`: a
hide was not undone by an unhide at the same instant or later. `last_interaction_at`: the last click, save or hide."""

USER_FEATURES = pa.schema(
    [
        pa.field(c.CUT, INSTANT),
        pa.field(c.USER_ID, pa.string()),
        *_windowed("clicks", pa.int64()),
        *_windowed("saves", pa.int64()),
        pa.field("clicks", pa.int64()),
        pa.field("saves", pa.int64()),
        pa.field("save_rate", pa.float64()),
        pa.field("creators", pa.int64()),
        pa.field("categories", pa.int64()),
        pa.field("languages", STRINGS),
        pa.field("recency_hours", pa.float64()),
        pa.field("sessions_28d", pa.int64()),
        pa.field("session_minutes", pa.float64()),
        pa.field("session_items", pa.float64()),
    ]
)
"""One row per user. `languages`: read at least once, most read first; `session_*`: means over the user's sessions."""

ITEM_FEATURES = pa.schema(
    [
        pa.field(c.CUT, INSTANT),
        pa.field(c.ITEM_ID, pa.string()),
        *_windowed("clicks", pa.int64()),
        *_windowed("saves", pa.int64()),
        *_windowed("users", pa.int64()),
        *(pa.field(f"users_{hours}h", pa.int64()) for hours in WINDOWS_HOURS),
        *_windowed("save_rate", pa.float64()),
        pa.field("users", pa.int64()),
        pa.field("age_hours", pa.float64()),
        pa.field("creator_items", pa.int64()),
        pa.field("creator_save_rate", pa.float64()),
        pa.field("creator_users_per_item", pa.float64()),
        pa.field("trend", pa.float64()),
    ]
)
"""One row per catalogue item that exists at `cut`, also without interactions. `users_*`: distinct users with a click or
save; `trend`: smoothed 1-day rate over the 7-day rate; `age_hours` is null where `created_at` is."""

RETRIEVAL_EXAMPLES = pa.schema(
    [
        pa.field(c.CUT, INSTANT),
        pa.field(c.USER_ID, pa.string()),
        pa.field("item_ids", STRINGS),
        pa.field("actions", STRINGS),
        pa.field("timestamps", pa.list_(INSTANT)),
        pa.field("trainable", pa.bool_()),
    ]
)
"""One row per user: clicks and saves before `cut`, oldest first; consecutive events on an item become the strongest
action. `trainable` is false for users who opted out of training: they get a vector, but train no shared model."""

RANKING_EXAMPLES = pa.schema(
    [
        pa.field(c.CUT, INSTANT),
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field("label", pa.int32()),
    ]
)
"""Gains of the items that each user first interacted with in the week from `cut` on: save 2, click 1."""

RANKING_IMPRESSIONS = pa.schema(
    [
        pa.field(c.CUT, INSTANT),
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field("impressions", pa.int64()),
        pa.field(c.POSITION, pa.int32()),
        pa.field(c.PROPENSITY, pa.float64()),
    ]
)
"""New items that each user was shown in the week from `cut` on. `position`: the best known one, null without any;
`propensity`: the highest one, 1 where an impression has none."""

CANDIDATES = pa.schema(
    [
        pa.field(c.CUT, INSTANT),
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field("sources", pa.uint8()),
        pa.field("retrieval_score", pa.float32()),
    ]
)
"""One row per labelled cutoff, user and candidate. `sources` is a bit set over `ranking.feature_arrays.SOURCES`."""

DERIVED = {
    "events": EVENTS,
    "quarantine": QUARANTINE,
    "sessions": SESSIONS,
    "interactions": INTERACTIONS,
    "user_features": USER_FEATURES,
    "item_features": ITEM_FEATURES,
    "retrieval_examples": RETRIEVAL_EXAMPLES,
    "ranking_examples": RANKING_EXAMPLES,
    "ranking_impressions": RANKING_IMPRESSIONS,
    "candidates": CANDIDATES,
}
"""Every table that a night derives, by its name in the lake."""
