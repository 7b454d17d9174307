"""The steps of the night in order, each a short function: read, call, write, track.

One word for stage, task and table.
"""

STAGES = (
    "forget",
    "events",
    "sessions",
    "interactions",
    "user_features",
    "item_features",
    "retrieval_examples",
    "ranking_examples",
    "two_tower",
    "candidates",
    "reranker",
    "metrics",
    "gates",
    "release",
)
