"""Spark: events become sessions, interactions, features and training examples, as functions of frames and times.

Every function checks its frames against `contracts.schemas` on the way in and out, and computes all cutoffs in one
job. All but `quarantine_counts`, `bad_share` and `fingerprint` are lazy. Must not read a disk or a clock, nor import a
package other than contracts.
"""

from features.bad_share import BadShare, accept, bad_share, remedy
from features.event_filters import without_users
from features.events import (
    Validated,
    fingerprint,
    quarantine_counts,
    split,
    validate,
    with_reason,
)
from features.interactions import interactions
from features.item_features import item_features
from features.ranking_examples import ranking_examples
from features.ranking_impressions import ranking_impressions
from features.retrieval_examples import retrieval_examples
from features.sessions import sessions
from features.spark_session import conform, spark, spark_schema, warm_up
from features.time_cutoffs import before_cutoffs
from features.user_features import user_features

__all__ = [
    "BadShare",
    "Validated",
    "accept",
    "bad_share",
    "before_cutoffs",
    "conform",
    "fingerprint",
    "interactions",
    "item_features",
    "quarantine_counts",
    "ranking_examples",
    "ranking_impressions",
    "remedy",
    "retrieval_examples",
    "sessions",
    "spark",
    "spark_schema",
    "split",
    "user_features",
    "validate",
    "warm_up",
    "with_reason",
    "without_users",
]
