"""Candidates are stored by id and read back in rows of the snapshot."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.schemas import DERIVED
from pipeline.feature_assembly import FeatureSnapshot, read_ingested_tables, read_snapshot
from pipeline.run_context import RunContext
from pipeline.stages.candidates import as_table, ranking_snapshot, read_candidates, training_users
from ranking.rank_users import candidate_features
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade, whole

EXAMPLES = [("u1", "d", 2), ("u2", "d", 1), ("gone", "a", 1)]


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    night = handmade(tmp_path)
    rows = [{"cut": CUTOFF, "user_id": user, "item_id": item, "label": label} for user, item, label in EXAMPLES]
    night.overwrite("ranking_examples", whole(rows, DERIVED["ranking_examples"]))
    return night


def snapshot(night: RunContext) -> FeatureSnapshot:
    return read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())


def test_users_with_a_label_and_a_vector_get_candidates(night: RunContext) -> None:
    assert training_users(night, snapshot(night)).tolist() == [0, 1]


def test_of_many_users_with_a_label_a_sample_trains(night: RunContext) -> None:
    reranker = night.config.ranking.reranker.model_copy(update={"training_users": 1})
    ranking = night.config.ranking.model_copy(update={"reranker": reranker})
    few = replace(night, config=night.config.model_copy(update={"ranking": ranking}))
    assert len(training_users(few, snapshot(night))) == 1


def test_no_candidate_is_in_the_users_history_and_the_score_is_the_inner_product(night: RunContext) -> None:
    arrays = snapshot(night)
    pairs = ranking_snapshot(arrays, night.config.ranking, night.config.index).candidates(np.array([0, 1], np.int32))
    users, items = arrays.users.ids[pairs.user_rows], arrays.items.ids[pairs.item_rows]
    assert sorted(zip(users, items, strict=True)) == [("u1", "c"), ("u1", "d"), ("u2", "c"), ("u2", "d")]
    products = (arrays.users.vectors[pairs.user_rows] * arrays.items.vectors[pairs.item_rows]).sum(axis=1)
    np.testing.assert_allclose(pairs.retrieval_scores, products)


def test_the_table_is_read_back_side_by_side_for_each_user(night: RunContext) -> None:
    arrays = snapshot(night)
    pairs = ranking_snapshot(arrays, night.config.ranking, night.config.index).candidates(np.array([0, 1], np.int32))
    table = as_table(arrays, pairs)
    assert table.columns == DERIVED["candidates"].names
    night.overwrite("candidates", table.sample(fraction=1, shuffle=True, seed=7))
    again = read_candidates(night, arrays)
    order = np.lexsort((pairs.item_rows, pairs.user_rows))
    assert again.user_rows.tolist() == pairs.user_rows[order].tolist()
    assert again.item_rows.tolist() == pairs.item_rows[order].tolist()
    assert again.sources.tolist() == pairs.sources[order].tolist()
    assert again.retrieval_scores.tolist() == pairs.retrieval_scores[order].tolist()


def test_pairs_of_an_item_that_opted_out_since_are_not_read(night: RunContext) -> None:
    before = snapshot(night)
    both = np.array([0, 1], np.int32)
    pairs = ranking_snapshot(before, night.config.ranking, night.config.index).candidates(both)
    night.overwrite("candidates", as_table(before, pairs))
    night.opt_outs.set("item", "c", "recommendation")
    after = snapshot(night)
    read = read_candidates(night, after)
    assert (read.user_rows.dtype, read.item_rows.dtype) == (np.int32, np.int32)
    assert after.items.ids[read.item_rows].tolist() == ["d", "d"]
    assert read.user_rows.tolist() == [0, 1]
    assert candidate_features(after.users, after.items, read, after.hours, None).shape[0] == 2
