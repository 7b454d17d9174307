"""What users were shown in a label window, joined with the candidates of its cutoff."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from contracts import columns as c
from pipeline.feature_assembly import FeatureSnapshot, at_cutoff, rows_of
from pipeline.run_context import RunContext
from ranking.feature_arrays import Candidates
from ranking.position_bias import NOT_SHOWN, UNKNOWN, ShownPairs

PAIR = ["user", "item"]


@dataclass(frozen=True)
class TrainingPairs:
    """The pairs of a label cutoff that train, and where they were shown; none where the window has no impressions."""

    candidates: Candidates
    shown: ShownPairs | None = None


def with_shown(night: RunContext, view: FeatureSnapshot, candidates: Candidates) -> TrainingPairs:
    """The candidates and what else their users were shown; users without candidates are left out."""
    table = shown_of(night, view, np.unique(candidates.user_rows))
    if not night.config.ranking.reranker.impressions or table.is_empty():
        return TrainingPairs(candidates)
    have = pl.DataFrame(
        {
            "user": candidates.user_rows,
            "item": candidates.item_rows,
            "sources": candidates.sources,
            "retrieval_score": candidates.retrieval_scores,
        }
    )
    pairs = have.join(table, on=PAIR, how="full", coalesce=True).sort(PAIR)
    users, items = pairs["user"].to_numpy(), pairs["item"].to_numpy()
    products = pl.Series((view.users.vectors[users] * view.items.vectors[items]).sum(axis=1), dtype=pl.Float32)
    pairs = pairs.with_columns(pl.col("retrieval_score").fill_null(products), pl.col("sources").fill_null(0))
    return TrainingPairs(
        Candidates(users, items, pairs["sources"].to_numpy(), pairs["retrieval_score"].to_numpy()),
        ShownPairs(
            pairs[c.POSITION].fill_null(NOT_SHOWN).to_numpy(),
            pairs[c.PROPENSITY].fill_null(1.0).cast(pl.Float32).to_numpy(),
        ),
    )


def shown_of(night: RunContext, view: FeatureSnapshot, user_rows: np.ndarray) -> pl.DataFrame:
    """The impressions of some users, in rows of the view."""
    table = at_cutoff(night, "ranking_impressions", view.cutoff).collect()
    return (
        table.select(
            rows_of(table[c.USER_ID], view.users.ids).alias("user"),
            rows_of(table[c.ITEM_ID], view.items.ids).alias("item"),
            pl.col(c.POSITION).fill_null(UNKNOWN),
            c.PROPENSITY,
        )
        .drop_nulls(PAIR)
        .filter(pl.col("user").is_in(user_rows))
    )
