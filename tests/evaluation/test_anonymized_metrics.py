"""Per-user metrics name no user, and still line up."""

import numpy as np
import polars as pl

from evaluation.anonymized_metrics import anonymized, history_labels, user_numbers, week_metrics
from evaluation.fingerprint import EvaluationFingerprint
from tests.evaluation.builders import labels, lists

IDS = [f"person-{row:02}-zq" for row in range(12)]


def week(ids: list[str], **metrics: list[float]) -> pl.DataFrame:
    regions = np.array(["SP"] * (len(ids) - 4) + ["TX"] * 4)
    per_user = {name: np.array(values) for name, values in metrics.items()}
    return week_metrics(pl.Series(ids), per_user, users={"region": regions}, items={"tail": np.full(len(ids), np.nan)})


def test_two_methods_line_up_whatever_order_their_users_came_in() -> None:
    values = [float(row) for row in range(12)]
    one = anonymized([week(IDS, ndcg=values)])
    other = anonymized([week(IDS[::-1], ndcg=values[::-1])])
    assert one.select("person", "ndcg").equals(other.select("person", "ndcg"))


def test_no_row_names_its_user() -> None:
    per_user = anonymized([week(IDS, ndcg=[float(row) for row in range(12)])])
    assert "-zq" not in per_user.write_json()
    assert per_user["ndcg"].to_list() != sorted(per_user["ndcg"].to_list()), "rows are in the order of ids"


def test_some_of_the_ids_do_not_reveal_the_order() -> None:
    all_numbers, some_numbers = user_numbers(pl.Series(IDS)), user_numbers(pl.Series(IDS[:-1]))
    assert sorted(all_numbers.values()) == list(range(12))
    assert sorted(IDS[:-1], key=all_numbers.__getitem__) != sorted(IDS[:-1], key=some_numbers.__getitem__)


def test_a_person_of_two_weeks_has_one_number() -> None:
    per_user = anonymized([week(IDS[:6], ndcg=[0.0] * 6), week(IDS, ndcg=[1.0] * 12)])
    assert per_user["week"].to_list() == [0] * 6 + [1] * 12
    assert set(per_user.filter(week=0)["person"]) < set(per_user.filter(week=1)["person"])


def test_four_users_form_no_region_of_their_own() -> None:
    per_user = anonymized([week(IDS, ndcg=[0.0] * 12)])
    assert sorted(per_user["users/region"]) == ["SP"] * 8 + ["other"] * 4


def test_users_by_the_items_of_their_history() -> None:
    assert history_labels(np.array([0, 1, 3, 9])).tolist() == ["new", "light", "light", "heavy"]  # the median is 3


def test_recall_by_items_asks_only_who_has_such_a_label() -> None:
    from evaluation.anonymized_metrics import recall_by_item_group

    tail = np.array([False, True, True])
    recall = recall_by_item_group(lists([0, 1], [0, 1]), labels({1: 1, 2: 1}, {0: 1}), {"tail": tail}, 2)
    assert recall["tail"][0] == 0.5  # of items 1 and 2, item 1 is listed
    assert np.isnan(recall["tail"][1])


def test_fingerprints_name_what_differs() -> None:
    fingerprint = EvaluationFingerprint("deskdrop", "aa", "bb", "cc", 20)
    assert fingerprint.difference_to(EvaluationFingerprint("deskdrop", "aa", "bb", "cc", 20)) == ""
    assert (
        fingerprint.difference_to(EvaluationFingerprint("deskdrop", "aa", "dd", "cc", 10))
        == "test (bb and dd), k (20 and 10)"
    )
    assert EvaluationFingerprint.read(fingerprint.parts) == fingerprint
    assert fingerprint.digest != EvaluationFingerprint("deskdrop", "aa", "bb", "cc", 10).digest
