"""The candidates of the re-ranker: for users with a label, the items of every source as of the label cutoff."""

import numpy as np
import polars as pl

from contracts import columns as c
from contracts.schemas import CANDIDATES
from pipeline.feature_assembly import FeatureSnapshot, at_cutoff, read_ingested_tables, read_snapshot, rows_of
from pipeline.run_context import RunContext, Summary
from pipeline.stages.two_tower import has_tower, load_tower
from ranking.cooccurrence_features import Transitions
from ranking.feature_arrays import Candidates, Rows
from ranking.rank_users import RankingConfig, RankingSnapshot
from ranking.reason_calibration import ReasonCurve, reason_curve, reason_week
from serving.ann_index import build
from serving.index_config import IndexConfig

MIN_SIMILARITY = "min_similarity"
"""The key of the summary for the similarity from which a reason names an item; none with too few labels."""


def candidates(night: RunContext) -> Summary:
    """One row a label cutoff, user and candidate. A cutoff without a trained model has none."""
    ingested, frames = read_ingested_tables(night), [pl.DataFrame(schema=pl.Schema(CANDIDATES))]
    weeks: list[ReasonCurve] = []
    ranking, index = night.config.ranking, night.config.index
    with night.lake.open_folder("two_tower", night.splits.as_of) as folder:
        for cutoff in night.progress.each(night.splits.label_cutoffs, "label weeks"):
            if has_tower(folder, cutoff):
                view = read_snapshot(night, ingested, cutoff, load_tower(folder, cutoff))
                pairs = ranking_snapshot(view, ranking, index).candidates(training_users(night, view))
                frames.append(as_table(view, pairs))
                weeks.append(label_week(night, view))
    rows = pl.concat(frames)
    night.overwrite("candidates", rows)
    similarity = reason_curve(weeks).threshold(ranking.reasons.min_lift)
    return {"rows": len(rows), "cutoffs": len(frames) - 1, MIN_SIMILARITY: similarity}


def training_users(night: RunContext, view: FeatureSnapshot) -> Rows:
    """Rows of the view's users who clicked or saved a new item after the cutoff; of many, a seeded sample."""
    ids = at_cutoff(night, "ranking_examples", view.cutoff).select(c.USER_ID).unique().collect()[c.USER_ID]
    rows = np.sort(rows_of(ids, view.users.ids).drop_nulls().to_numpy())
    order = np.random.default_rng(night.settings.seed).permutation(len(rows))
    return np.sort(rows[order[: night.config.ranking.reranker.training_users]])


def label_week(night: RunContext, view: FeatureSnapshot) -> ReasonCurve:
    """The labels after a cutoff, by similarity to what each user had liked before it."""
    labels = at_cutoff(night, "ranking_examples", view.cutoff).select(c.USER_ID, c.ITEM_ID).collect()
    rows = pl.DataFrame(
        {"user": rows_of(labels[c.USER_ID], view.users.ids), "item": rows_of(labels[c.ITEM_ID], view.items.ids)}
    ).drop_nulls()
    return reason_week(view.users, view.items, rows["user"].to_numpy(), rows["item"].to_numpy())


def ranking_snapshot(
    view: FeatureSnapshot, config: RankingConfig, index_config: IndexConfig, transitions: Transitions | None = None
) -> RankingSnapshot:
    """The inputs of `rank_users` as of a cutoff, with the index that would serve them."""
    index = build(view.items.vectors, view.items.ids, index_config)
    return RankingSnapshot(view.users, view.items, index, config, view.hours, transitions)


def as_table(view: FeatureSnapshot, pairs: Candidates) -> pl.DataFrame:
    """Candidates by id, in `schemas.CANDIDATES`."""
    return pl.DataFrame(
        {
            c.USER_ID: pl.Series(view.users.ids[pairs.user_rows], dtype=pl.String),
            c.ITEM_ID: pl.Series(view.items.ids[pairs.item_rows], dtype=pl.String),
            "sources": pairs.sources,
            "retrieval_score": pairs.retrieval_scores,
        }
    ).select(pl.lit(view.cutoff).cast(pl.Datetime("us", "UTC")).alias(c.CUT), pl.all())


def read_candidates(night: RunContext, view: FeatureSnapshot) -> Candidates:
    """The stored candidates of a cutoff, in rows of its view, users side by side.

    A pair is left out where an opt-out since the stage `candidates` took its user or item from the view.
    """
    table = at_cutoff(night, "candidates", view.cutoff).collect()
    pairs = (
        table.with_columns(
            user=rows_of(table[c.USER_ID], view.users.ids), item=rows_of(table[c.ITEM_ID], view.items.ids)
        )
        .drop_nulls(["user", "item"])
        .sort("user", "item")
    )
    return Candidates(*(pairs[name].to_numpy() for name in ("user", "item", "sources", "retrieval_score")))
