"""Lists of a bundle and of the baselines, in rows of the whole catalogue, without items of the users' histories."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.results import FINAL, RERANKED, RETRIEVAL
from pipeline.evaluation_data import RETRIEVAL_K, holdout_at, read_evaluation_data
from pipeline.feature_assembly import read_catalog
from pipeline.offline_inference import ModelBundle, baseline_lists, predict
from pipeline.run_context import RunContext
from ranking.feature_names import PAIR_FEATURE_NAMES
from ranking.rank_users import RankingConfig
from ranking.slate import SlateConfig
from serving.ann_index import IndexConfig
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade

RETRIEVAL_SCORE = -len(PAIR_FEATURE_NAMES) + PAIR_FEATURE_NAMES.index("retrieval_score")
"""The column of the retrieval score, counted from the end."""


class LowestFirst:
    """A re-ranker that turns the order of retrieval around."""

    uses_cooccurrence = False

    def score(self, features: np.ndarray, *, threads: int = 1) -> np.ndarray:
        return -features[:, RETRIEVAL_SCORE]


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path)


def inputs(night: RunContext):
    catalog = read_catalog(night)
    data = read_evaluation_data(night, catalog, Tower().embed_text(catalog.items))
    return night, catalog, data, holdout_at(night, data, CUTOFF)


def bundle(slate: SlateConfig | None = None) -> ModelBundle:
    ranking = RankingConfig(slate=slate or SlateConfig(per_creator=0, per_category=0))
    return ModelBundle(Tower(), LowestFirst(), ranking, IndexConfig())


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


def test_rows_are_those_of_the_catalogue_where_an_item_is_excluded(night: RunContext) -> None:
    night.opt_outs.set("item", "a", "recommendation")
    assert listed(predict(*inputs(night), bundle()).lists[RETRIEVAL]) == [[3, 2, -1]] * 2


def test_a_label_that_is_no_candidate_lowers_the_candidate_recall(night: RunContext) -> None:
    night.opt_outs.set("item", "d", "recommendation")
    assert predict(*inputs(night), bundle()).candidate_recall == 0.0


def test_a_user_without_a_vector_has_an_empty_list(night: RunContext) -> None:
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
