"""Spark: events become sessions, interactions, features and training rows, `DataFrame -> DataFrame`, time an argument.

Every function checks its frames against `contracts.schemas` on the way in and out, runs nothing by itself (but
`quarantine_counts`), and computes all cuts in one job. Knows no disk, no clock, and no room but contracts.
"""

from tastefeed.features.conform import conform, spark_schema
from tastefeed.features.cuts import before_cuts
from tastefeed.features.events import Validated, split, validate, with_reason
from tastefeed.features.interactions import interactions
from tastefeed.features.item_features import item_features
from tastefeed.features.opt_outs import without_users
from tastefeed.features.quarantine import accept, bad_share, quarantine_counts
from tastefeed.features.ranking_examples import ranking_examples
from tastefeed.features.retrieval_examples import retrieval_examples
from tastefeed.features.sessions import sessions
from tastefeed.features.spark import spark, warm_up
from tastefeed.features.user_features import user_features

__all__ = [
    "Validated",
    "accept",
    "bad_share",
    "before_cuts",
    "conform",
    "interactions",
    "item_features",
    "quarantine_counts",
    "ranking_examples",
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
