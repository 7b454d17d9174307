"""Metrics by segment of users (activity, language, region) and of items (new, older, popular, tail)."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from contracts import columns as c
from evaluation import Catalogue, Holdout, RankedLists, activity_segments, item_groups, item_table, segment_table
from evaluation.segment_metrics import MIN_SEGMENT_USERS, GroupLabels, fold_small_groups
from pipeline.evaluation_lists import EvaluationData, K
from pipeline.feature_assembly import IngestedTables
from pipeline.metrics_store import EvaluatedWeek

METRICS = (f"ndcg_at_{K}", f"recall_at_{K}", f"hit_rate_at_{K}", f"mrr_at_{K}")


def user_segments(ingested: IngestedTables, data: EvaluationData, holdout: Holdout) -> dict[str, GroupLabels]:
    """The segment [U] of each user of the holdout, by the name of the segmentation; small segments are merged."""
    ids = pl.DataFrame({c.USER_ID: pl.Series(data.user_ids[holdout.user_rows], dtype=pl.String)})
    users = ids.join(ingested.users, on=c.USER_ID, how="left", maintain_order="left")
    stated, read = _primary(users[c.LANGUAGE]), languages_read(ingested, holdout)
    segments = {
        **activity_segments(holdout),
        "language": pl.select(pl.coalesce(stated, read)).to_series().to_numpy(),
        "region": users[c.REGION].to_numpy(),
    }
    return {name: fold_small_groups(words, MIN_SEGMENT_USERS) for name, words in segments.items()}


def languages_read(ingested: IngestedTables, holdout: Holdout) -> pl.Series:
    """[U] the language of most items that each user clicked or saved before the cutoff; of equals the first by name."""
    liked = holdout.history.where(holdout.history.gains > 0)
    languages = _primary(ingested.items[c.LANGUAGE]).gather(liked.item_rows)
    most = (
        pl.DataFrame({"user": liked.user_rows, "language": languages})
        .drop_nulls()
        .group_by("user", "language")
        .len()
        .sort("len", "language", descending=[True, False])
        .unique("user", keep="first", maintain_order=True)
    )
    users = pl.DataFrame({"user": holdout.user_rows.astype(np.int32)})
    return users.join(most, on="user", how="left", maintain_order="left")["language"]


def _primary(languages: pl.Series) -> pl.Series:
    """`pt` of `pt-BR`."""
    return languages.cast(pl.String).str.split("-").list.first().str.to_lowercase()


def user_segments_table(week: EvaluatedWeek) -> pl.DataFrame:
    """One row a method, segmentation and segment: `method, slice, group, users` and the metrics."""
    return pl.concat(
        segment_table({metric: method.per_user[metric] for metric in METRICS}, week.segments).select(
            pl.lit(method.name).alias("method"), pl.all()
        )
        for method in week.methods
    )


def item_segments_table(lists: Mapping[str, RankedLists], holdout: Holdout, catalogue: Catalogue) -> pl.DataFrame:
    """One row a method and segment of items: new, older, popular, tail."""
    groups = item_groups(holdout, catalogue)
    return pl.concat(
        item_table(ranked, holdout.labels, groups, K).select(pl.lit(name).alias("method"), pl.all())
        for name, ranked in lists.items()
    )
