"""The data that methods are measured on: who is in it, what counts as a label, and whose rows they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation import RankedLists
from pipeline.evaluation_data import (
    RETRIEVAL_K,
    EvaluationData,
    K,
    catalogue_lists,
    holdout_at,
    measure_method,
    read_evaluation_data,
    snapshot_user_rows,
)
from pipeline.feature_assembly import read_catalog, read_snapshot
from pipeline.run_context import RunContext
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path)


def data_of(night: RunContext) -> EvaluationData:
    catalog = read_catalog(night)
    return read_evaluation_data(night, catalog, Tower().embed_text(catalog.items))


def test_labels_are_new_items_of_users_with_a_history(night: RunContext) -> None:
    data = data_of(night)
    holdout = holdout_at(night, data, CUTOFF)
    assert data.user_ids[holdout.user_rows].tolist() == ["u1", "u2"], "u3 had impressions alone"
    assert holdout.labels.item_rows.tolist() == [3, 3], "`a` is not new to u1, and `later` did not exist"
    assert holdout.labels.gains.tolist() == [2, 1]


def test_users_that_opted_out_of_training_are_not_measured(night: RunContext) -> None:
    night.opt_outs.set("user", "u1", "training")
    data = data_of(night)
    assert data.user_ids.tolist() == ["u2", "u3"]
    assert data.user_ids[holdout_at(night, data, CUTOFF).user_rows].tolist() == ["u2"]


def test_a_user_without_a_vector_has_no_row_in_the_snapshot(night: RunContext) -> None:
    data = data_of(night)
    holdout = holdout_at(night, data, CUTOFF)
    snapshot = read_snapshot(night, read_catalog(night), CUTOFF, Tower())
    assert snapshot_user_rows(snapshot, data, holdout).tolist() == [0, 1]
    without = type(snapshot)(CUTOFF, snapshot.items, only(snapshot.users, 1), snapshot.catalogue_rows)
    assert snapshot_user_rows(without, data, holdout).tolist() == [-1, 0]


def only(users, row: int):
    """One of the users, without a history."""
    return replace(users, ids=users.ids[row : row + 1])


def test_lists_are_translated_to_rows_of_the_whole_catalogue(night: RunContext) -> None:
    night.opt_outs.set("item", "b", "recommendation")
    snapshot = read_snapshot(night, read_catalog(night), CUTOFF, Tower())  # a, c, d
    lists = catalogue_lists(snapshot, np.array([[2, 0, -1], [1, -1, -1]]))
    assert lists.rows.tolist() == [[3, 0, -1], [2, -1, -1]]


def test_a_method_is_measured_at_k_and_as_deep_as_its_lists_are(night: RunContext) -> None:
    data = data_of(night)
    holdout = holdout_at(night, data, CUTOFF)
    rows = np.full((2, RETRIEVAL_K), -1, np.int32)
    rows[0, 0], rows[1, :2] = 3, [2, 3]
    deep = measure_method("final", RankedLists(rows), data, holdout)
    assert deep.users == 2
    assert deep.per_user[f"ndcg_at_{K}"].tolist() == pytest.approx([1.0, 1 / np.log2(3)])
    assert deep.means[f"recall_at_{RETRIEVAL_K}"] == 1.0
    shallow = measure_method("popular", RankedLists(rows[:, :K]), data, holdout)
    assert f"recall_at_{RETRIEVAL_K}" not in shallow.means
