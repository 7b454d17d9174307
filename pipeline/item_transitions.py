"""The tables of the item-transition features as of a cutoff, from users who did not opt out of training."""

import numpy as np
import polars as pl

from contracts import columns as c
from contracts.csr import Rows
from pipeline.feature_assembly import FeatureSnapshot, at_cutoff, rows_of
from pipeline.run_context import RunContext
from ranking.cooccurrence_features import Transitions, transition_tables
from ranking.reranker import Reranker


def transitions_at(night: RunContext, view: FeatureSnapshot, reranker: Reranker) -> Transitions | None:
    """The tables as of a cutoff where the re-ranker reads them."""
    return night_transitions(night, view) if reranker.uses_cooccurrence else None


def night_transitions(night: RunContext, view: FeatureSnapshot) -> Transitions:
    """The tables as of a cutoff, from the histories of the users who did not opt out of training."""
    return transition_tables(view.users, len(view.items.ids), trainable_users(night, view))


def trainable_users(night: RunContext, view: FeatureSnapshot) -> Rows:
    """The rows of the view's users who did not opt out of training, ascending."""
    examples = (
        at_cutoff(night, "retrieval_examples", view.cutoff).filter(pl.col("trainable")).select(c.USER_ID).collect()
    )
    return np.sort(rows_of(examples[c.USER_ID], view.users.ids).drop_nulls().to_numpy())
