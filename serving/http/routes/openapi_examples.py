"""Examples of requests and answers for the OpenAPI document."""

from typing import Any

FEED: dict[str, Any] = {
    "user_id": "acct/42",
    "request_id": "0f2b9c52d3f84c0fb0f3d0f8a4f7e0c1",
    "release": "2017-03-01-02a55449dc2c",
    "reduced_to": None,
    "personalized": True,
    "reason": None,
    "items": [
        {
            "item_id": "article-7",
            "rank": 1,
            "score": 0.81,
            "source": "two_tower",
            "explanation": {
                "kind": "similar",
                "text": "Because you saved “A field guide to queues”",
                "item_id": "article-3",
                "title": "A field guide to queues",
                "action": "save",
                "similarity": 0.71,
            },
            "title": "Queues in practice",
            "creator_id": "creator-2",
            "url": "https://example.org/article-7",
            "image_url": None,
            "propensity": None,
        }
    ],
    "cursor": "eyJyZWxlYXNlIjoi",
}
FEEDS_REQUEST: dict[str, Any] = {"user_ids": ["acct/42", "acct/43"], "limit": 20}
FEEDS: dict[str, Any] = {
    "request_id": FEED["request_id"],
    "release": FEED["release"],
    "feeds": [
        {**FEED, "items": [{**FEED["items"][0], "explanation": None}]},
        {
            **FEED,
            "user_id": "acct/43",
            "personalized": False,
            "reason": "unknown_user",
            "items": [{**FEED["items"][0], "source": "popular", "score": 1.0, "explanation": None}],
        },
    ],
}
EVENTS: dict[str, Any] = {
    "events": [
        {
            "event_id": "e-1001",
            "user_id": "acct/42",
            "item_id": "article-7",
            "action": "save",
            "timestamp": "2017-03-01T08:30:00Z",
            "session_id": "s-17",
            "request_id": FEED["request_id"],
            "position": 0,
        }
    ]
}
RECEIPT: dict[str, Any] = {
    "accepted": 1,
    "duplicates": 0,
    "errors": [{"index": 1, "reason": "unknown_action", "detail": "action: Input should be 'impression', 'click' …"}],
    "warnings": [],
}
OPT_OUT: dict[str, Any] = {
    "subject_type": "user",
    "subject_id": "acct/42",
    "flag": "personalization",
    "opted_out": True,
    "effective_at": "2017-03-01T08:30:00Z",
}
RELEASE: dict[str, Any] = {
    "version": FEED["release"],
    "built_at": "2017-03-01T01:12:45Z",
    "as_of": "2017-03-01T00:00:00Z",
    "profiled": True,
    "reduced_to": None,
    "unmeasured": False,
    "metrics": {"ndcg_at_20": 0.19},
}
SWITCH: dict[str, Any] = {
    "name": "personalization",
    "value": "off",
    "set_at": "2017-03-01T08:30:00Z",
    "set_by": "key:5e884898",
}
CLEARED_SWITCH: dict[str, Any] = {**SWITCH, "value": None, "set_at": None, "set_by": None}
AUDIT: dict[str, Any] = {
    "entries": [
        {
            "number": 17,
            "at": "2017-03-01T08:30:00Z",
            "who": "key:5e884898",
            "action": "opt_out.set",
            "subject": "user:3c59dc048e8850243be8079a5c74d079",
            "detail": "personalization",
        }
    ],
    "before": None,
}
TRACE: dict[str, Any] = {
    "user_id": "acct/42",
    "item_id": "article-7",
    "release": FEED["release"],
    "personalized": True,
    "reason": None,
    "outcome": "shown",
    "arm": None,
    "rank": 1,
    "filters": [],
    "sources_off": [],
    "sources": ["two_tower", "fresh"],
    "score": 0.81,
    "features": [{"name": "retrieval_score", "value": 1.7, "added": 0.42}],
    "slate": {
        "score_rank": 1,
        "passed_by": 0,
        "relaxed": False,
        "exposure": 0.02,
        "creator_above": 0,
        "window": 10,
        "per_creator": 3,
    },
    "explanation": FEED["items"][0]["explanation"],
}
ANSWERS = {
    "home_feed": FEED,
    "home_feeds": FEEDS,
    "post_events": RECEIPT,
    "read_opt_out": OPT_OUT,
    "set_opt_out": OPT_OUT,
    "clear_opt_out": {**OPT_OUT, "opted_out": False},
    "current_release": RELEASE,
    "list_switches": [SWITCH],
    "read_switch": SWITCH,
    "set_switch": SWITCH,
    "clear_switch": CLEARED_SWITCH,
    "read_audit": AUDIT,
    "trace_feed": TRACE,
}
"""The example of each operation's answer."""
