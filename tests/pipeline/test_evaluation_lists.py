"""Lists of a bundle and of the baselines, in rows of the whole catalogue, without items of the users' histories."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evaluation import RankedLists
from evaluation.results import FINAL, RERANKED, RETRIEVAL
from pipeline import evaluation_lists
from pipeline.evaluation_lists import (
    RETRIEVAL_K,
    EvaluationData,
    K,
    ModelBundle,
    baseline_lists,
    catalogue_lists,
    holdout_at,
    measure_method,
    predict,
    ranking_inputs,
    read_evaluation_data,
    snapshot_user_rows,
)
from pipeline.feature_assembly import read_ingested_tables, read_snapshot
from pipeline.run_context import RunContext
from ranking import item_exposure
from ranking.candidates import CandidateConfig
from ranking.feature_arrays import Candidates
from ranking.feature_names import PAIR_FEATURE_NAMES
from ranking.rank_users import RankingConfig
from ranking.slate import SlateConfig, Slates
from serving.index_config import IndexConfig
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade

RETRIEVAL_SCORE = -len(PAIR_FEATURE_NAMES) + PAIR_FEATURE_NAMES.index("retrieval_score")
"""The column of the retrieval score, counted from the end."""

NO_CANDIDATES = CandidateConfig(neighbours=0, fresh=0, popular=0, popular_ever=0)


class LowestFirst:
    """A re-ranker that turns the order of retrieval around."""

    uses_cooccurrence = uses_impressions = False

    def score(self, features: np.ndarray, item_rows: np.ndarray | None = None) -> np.ndarray:
        return -features[:, RETRIEVAL_SCORE]


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path)


def inputs(night: RunContext):
    ingested = read_ingested_tables(night)
    data = read_evaluation_data(night, ingested, Tower().embed_text(ingested.items))
    return night, ingested, data, holdout_at(night, data, CUTOFF)


def bundle(slate: SlateConfig | None = None) -> ModelBundle:
    ranking = RankingConfig(slate=slate or SlateConfig(per_creator=0, per_category=0))
    return ModelBundle(Tower(), LowestFirst(), ranking, IndexConfig())


def test_exposure_is_measured_on_users_who_allow_training(night: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """c and d are new to both users; each is on the first places of those who are asked."""
    monkeypatch.setattr(item_exposure, "FEWEST_USERS", 1)
    view = read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())
    given = LowestFirst(), RankingConfig(slate=SlateConfig(per_creator=0)), IndexConfig()
    assert ranking_inputs(night, view, *given).exposure.tolist() == [0, 0, 1, 1]
    examples = night.lake.scan("retrieval_examples", night.splits.as_of).collect()
    night.overwrite("retrieval_examples", examples.with_columns(trainable=pl.lit(value=False)))
    assert ranking_inputs(night, view, *given).exposure.tolist() == [0, 0, 0, 0]


def listed(lists, count: int = 3) -> list[list[int]]:
    return lists.rows[:, :count].tolist()


def test_retrieval_lists_by_inner_product_and_the_re_ranker_by_its_score(night: RunContext) -> None:
    predictions = predict(*inputs(night), bundle())
    assert set(predictions.lists) == {RETRIEVAL, RERANKED, FINAL}
    assert listed(predictions.lists[RETRIEVAL]) == [[3, 2, -1]] * 2, "a and b are in both histories"
    assert listed(predictions.lists[RERANKED]) == [[2, 3, -1]] * 2
    assert listed(predictions.lists[FINAL]) == [[2, 3, -1]] * 2
    assert predictions.lists[FINAL].rows.shape == (2, RETRIEVAL_K)
    assert predictions.candidate_recall == 1.0


def test_users_are_ranked_some_at_a_time_and_no_list_is_as_long_as_the_catalogue(
    night: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = predict(*inputs(night), bundle())
    lengths, matrix = set(), Slates.matrix

    def recorded(self: Slates, candidates: Candidates, user_rows: np.ndarray, k: int) -> np.ndarray:
        lengths.add((len(user_rows), k))
        return matrix(self, candidates, user_rows, k)

    monkeypatch.setattr(Slates, "matrix", recorded)
    monkeypatch.setattr(evaluation_lists, "USERS_AT_ONCE", 1)
    apart = predict(*inputs(night), bundle())
    assert lengths == {(1, RETRIEVAL_K)}
    assert apart.candidate_recall == together.candidate_recall
    assert all((apart.lists[name].rows == lists.rows).all() for name, lists in together.lists.items())


def test_rows_are_those_of_the_catalogue_where_an_item_is_excluded(night: RunContext) -> None:
    night.opt_outs.set("item", "a", "recommendation")
    assert listed(predict(*inputs(night), bundle()).lists[RETRIEVAL]) == [[3, 2, -1]] * 2


def test_a_label_that_is_no_candidate_lowers_the_candidate_recall(night: RunContext) -> None:
    without = replace(bundle(), ranking=RankingConfig(candidates=NO_CANDIDATES))
    assert predict(*inputs(night), without).candidate_recall == 0.0


def test_an_item_that_opted_out_is_no_label_and_in_no_list_of_a_baseline(night: RunContext) -> None:
    _, _, _, before = inputs(night)
    night.opt_outs.set("item", "d", "recommendation")
    _, _, data, holdout = inputs(night)
    assert len(holdout.user_rows) < len(before.user_rows), "d was the only label of a user"
    assert not holdout.rankable[3]
    for name, each in baseline_lists(night, data, holdout).items():
        assert 3 not in each.rows, f"{name} lists an item that opted out"


@pytest.mark.parametrize("at_once", [256, 1])
def test_a_user_without_a_vector_has_an_empty_list(
    night: RunContext, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(evaluation_lists, "USERS_AT_ONCE", at_once)
    rows = night.lake.scan("retrieval_examples", night.splits.as_of).collect()
    night.overwrite("retrieval_examples", rows.filter(rows["user_id"] != "u1"))
    lists = predict(*inputs(night), bundle()).lists
    assert [listed(lists[name])[0] for name in lists] == [[-1] * 3] * 3
    assert listed(lists[RETRIEVAL])[1] == [3, 2, -1]


def test_the_baselines_list_items_that_exist_and_are_new_to_the_user(night: RunContext) -> None:
    _, _, data, holdout = inputs(night)
    lists = baseline_lists(night, data, holdout)
    assert set(lists) == {"newest_first", "popular_1d", "popular_7d", "popular_28d", "item_knn", "ials"}
    assert listed(lists["newest_first"], 2)[0][0] == 3, "d is the newest item by the cutoff"
    for name, each in lists.items():
        assert {0, 1, 4}.isdisjoint(each.rows.ravel().tolist()), f"{name} lists a seen or a later item"


def data_of(night: RunContext) -> EvaluationData:
    ingested = read_ingested_tables(night)
    return read_evaluation_data(night, ingested, Tower().embed_text(ingested.items))


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
    snapshot = read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())
    assert snapshot_user_rows(snapshot, data, holdout).tolist() == [0, 1]
    without = type(snapshot)(CUTOFF, snapshot.items, only(snapshot.users, 1), snapshot.catalogue_rows)
    assert snapshot_user_rows(without, data, holdout).tolist() == [-1, 0]


def only(users, row: int):
    """One of the users, without a history."""
    return replace(users, ids=users.ids[row : row + 1])


def test_lists_are_translated_to_rows_of_the_whole_catalogue(night: RunContext) -> None:
    night.opt_outs.set("item", "b", "recommendation")
    snapshot = read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())  # a, c, d
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
