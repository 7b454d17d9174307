"""The published protocols, on rows that a person can cut by hand."""

import math

import numpy as np
import polars as pl
import pytest

from contracts.errors import BadEvaluationInput
from evaluation import RankedLists, item_sets
from evaluation.protocols import full_ranking, leave_one_out, random_out
from evaluation.rankings import Labels


def pairs(*rows: str) -> pl.DataFrame:
    """`"ann a"` is ann's like of a; rows are in the order of time."""
    return pl.DataFrame([row.split() for row in rows], schema=["user_id", "item_id"], orient="row")


def words(frame: pl.DataFrame) -> list[str]:
    return [" ".join(row) for row in frame.rows()]


def labels(*items: list[int]) -> Labels:
    owners = np.repeat(np.arange(len(items), dtype=np.int32), [len(own) for own in items])
    sets = item_sets(owners, np.array([item for own in items for item in own], dtype=np.int32), len(items))
    return Labels(sets.offsets, sets.item_rows, np.ones(len(sets.item_rows), np.float32))


ORDERED = pairs(
    "ann a",
    "bob a",  # bob has three rows: one is left to learn from
    "ann b",
    "cid a",  # cid has two: nothing would be left
    "ann c",
    "bob b",
    "cid b",
    "bob c",
    "ann d",
)


def test_the_last_row_of_each_user_is_the_test_and_the_second_last_the_validation() -> None:
    test, validation = leave_one_out(ORDERED)
    assert words(test.held_out) == ["bob c", "ann d"]
    assert words(validation.held_out) == ["ann c", "bob b"]
    assert words(validation.train) == ["ann a", "bob a", "ann b", "cid a", "cid b"]


def test_what_is_learned_before_the_test_holds_the_validation_rows_in_their_order() -> None:
    test, _ = leave_one_out(ORDERED)
    assert words(test.train) == ["ann a", "bob a", "ann b", "cid a", "ann c", "bob b", "cid b"]


def test_a_random_tenth_is_a_tenth_and_the_seed_decides_which() -> None:
    frame = pairs(*[f"u{row} i{row}" for row in range(200)])
    cut, again, other = (random_out(frame, share=0.1, seed=seed) for seed in (7, 7, 8))
    assert (cut.train.height, cut.held_out.height) == (180, 20)
    assert cut.train.join(cut.held_out, on=["user_id", "item_id"]).is_empty()
    assert cut.held_out.equals(again.held_out)
    assert not cut.held_out.equals(other.held_out)


def test_a_share_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(BadEvaluationInput, match=r"a share of 1 was asked for; give one between 0 and 1"):
        random_out(ORDERED, share=1, seed=7)


def test_full_ranking_by_hand() -> None:
    # three users, five items; the second finds nothing, the third's label 7 is outside the catalogue
    lists = RankedLists(np.array([[0, 1, 2], [0, 1, 2], [3, 0, -1]], dtype=np.int32))
    means = full_ranking("hand", lists, labels([1, 4], [3], [3, 7]), 3, item_count=5).means
    assert means["recall_at_3"] == pytest.approx((1 / 2 + 0 + 1 / 2) / 3)
    assert means["hit_rate_at_3"] == pytest.approx(2 / 3)
    assert means["mrr_at_3"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    ideal = 1 + 1 / math.log2(3)  # both labels on the first two places
    assert means["ndcg_at_3"] == pytest.approx((1 / math.log2(3) / ideal + 0 + 1 / ideal) / 3)
    assert means["coverage_at_3"] == 4 / 5


def naive(rows: list[int], own: set[int], k: int) -> dict[str, float]:
    """The definitions once more, one user at a time and with other means."""
    hits = [rank for rank, item in enumerate(rows[:k], start=1) if item in own]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(own)) + 1))
    return {
        f"recall_at_{k}": len(hits) / len(own),
        f"ndcg_at_{k}": sum(1 / math.log2(rank + 1) for rank in hits) / ideal,
        f"hit_rate_at_{k}": float(bool(hits)),
        f"mrr_at_{k}": 1 / hits[0] if hits else 0.0,
    }


@pytest.fixture
def random_lists() -> tuple[np.ndarray, list[set[int]]]:
    """Three hundred users, lists of twenty out of sixty items, one to twelve labels each."""
    random = np.random.default_rng(7)
    rows = np.stack([random.permutation(60)[:20] for _ in range(300)]).astype(np.int32)
    return rows, [{int(item) for item in random.permutation(60)[: random.integers(1, 13)]} for _ in range(300)]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_every_user_agrees_with_the_definitions(random_lists: tuple[np.ndarray, list[set[int]]], k: int) -> None:
    rows, own = random_lists
    measured = full_ranking("ours", RankedLists(rows), labels(*map(sorted, own)), k, item_count=60)
    theirs = [naive(each.tolist(), items, k) for each, items in zip(rows, own, strict=True)]
    for metric, values in measured.per_user.items():
        np.testing.assert_allclose(values, [each[metric] for each in theirs], rtol=1e-12, err_msg=metric)


@pytest.mark.filterwarnings("ignore")  # of the libraries that ranx brings
@pytest.mark.parametrize("k", [5, 20])
def test_every_user_agrees_with_ranx(random_lists: tuple[np.ndarray, list[set[int]]], k: int) -> None:
    ranx = pytest.importorskip("ranx", reason="an independent implementation: pip install ranx")
    rows, own = random_lists
    run = ranx.Run({f"u{u}": {f"i{i}": 1 / (1 + place) for place, i in enumerate(row)} for u, row in enumerate(rows)})
    qrels = ranx.Qrels({f"u{user}": {f"i{item}": 1 for item in items} for user, items in enumerate(own)})
    theirs = {"recall": "recall", "ndcg": "ndcg", "hit_rate": "hit_rate", "mrr": "mrr"}
    ranx.evaluate(qrels, run, [f"{metric}@{k}" for metric in theirs.values()])
    measured = full_ranking("ours", RankedLists(rows), labels(*map(sorted, own)), k, item_count=60)
    for ours, metric in theirs.items():
        scores = run.scores[f"{metric}@{k}"]
        by_user = [scores[f"u{user}"] for user in range(len(rows))]
        np.testing.assert_allclose(measured.per_user[f"{ours}_at_{k}"], by_user, rtol=1e-6, err_msg=metric)
