"""For whom, and with which items, each method is good: tables without a person in them.

They speak of one held-out week: over several weeks one person would count as many.
"""

from collections.abc import Mapping

import polars as pl

from evaluation import Catalogue, Holdout, RankedLists, item_groups, item_table, slice_table
from pipeline.evaluation_data import K
from pipeline.metrics_store import WeekMetrics

SLICED = (f"ndcg_at_{K}", f"recall_at_{K}", f"hit_rate_at_{K}", f"mrr_at_{K}")


def people_table(week: WeekMetrics) -> pl.DataFrame:
    """One row a method, slice and group: tenure, history, language, region."""
    return pl.concat(
        slice_table({metric: method.per_user[metric] for metric in SLICED}, week.groups).select(
            pl.lit(method.name).alias("method"), pl.all()
        )
        for method in week.methods
    )


def items_table(lists: Mapping[str, RankedLists], holdout: Holdout, catalogue: Catalogue) -> pl.DataFrame:
    """One row a method and group of items: new, older, popular, tail."""
    groups = item_groups(holdout, catalogue)
    return pl.concat(
        item_table(answer, holdout.labels, groups, K).select(pl.lit(name).alias("method"), pl.all())
        for name, answer in lists.items()
    )
