import math
from dataclasses import replace

import numpy as np
import pytest

from contracts.errors import BadEvaluationInput
from evaluation import hold_out, macro_average, measure
from tests.evaluation.builders import CUT, catalogue, events, lists, measured

ITEMS = catalogue([-9, -9, -9])


def test_measures_every_metric_on_one_holdout():
    log = events([(0, 0, -1, 1), (0, 2, 1, 1)], users=1, items=3)
    vectors = np.eye(3, dtype=np.float32)
    found = measure("final", lists([1, 2]), hold_out(log, ITEMS, CUT), ITEMS, k=2, recall_ks=[1], item_vectors=vectors)
    assert found.users == 1
    assert found.means == pytest.approx(
        {
            "ndcg_at_2": 1 / math.log2(3),
            "recall_at_2": 1,
            "hit_rate_at_2": 1,
            "mrr_at_2": 0.5,
            "recall_at_1": 0,
            "top_creator_share_at_2": 0.5,
            "intra_list_distance_at_2": 1,
            "coverage_at_2": 2 / 3,
            "creator_coverage_at_2": 2 / 3,
        }
    )
    assert found.per_user["mrr_at_2"].tolist() == [0.5]


def test_what_the_catalogue_cannot_tell_is_not_measured():
    log = events([(0, 0, -1, 1), (0, 2, 1, 1)], users=1, items=3)
    unsigned = replace(ITEMS, creators=np.full(3, -1, dtype=np.int32))
    nothing = np.zeros((3, 4), dtype=np.float32)
    found = measure("final", lists([1, 2]), hold_out(log, unsigned, CUT), unsigned, k=2, item_vectors=nothing)
    assert not [metric for metric in found.means if "creator" in metric or "distance" in metric]
    assert all(math.isfinite(value) for value in found.means.values())


def test_weeks_count_the_same():
    both = macro_average([measured("final", [1.0]), measured("final", [0.0, 0.5])])
    assert both.means["ndcg_at_20"] == pytest.approx((1 + 0.25) / 2)
    assert both.users == 3
    assert both.per_user["ndcg_at_20"].tolist() == [1, 0, 0.5]


def test_no_week_and_unlike_methods_are_errors():
    with pytest.raises(BadEvaluationInput, match="no week was measured"):
        macro_average([])
    with pytest.raises(BadEvaluationInput, match=r"weeks of different methods \(a, b\)"):
        macro_average([measured("a", [1.0]), measured("b", [1.0])])
