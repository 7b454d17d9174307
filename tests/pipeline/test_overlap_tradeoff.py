"""What lists that differ cost: the variants, and the page that compares them."""

from pathlib import Path

import numpy as np
import pytest

from evaluation import RankedLists
from evaluation.rankings import Labels
from pipeline import evaluation_lists, overlap_tradeoff
from pipeline.evaluation_lists import read_evaluation_data
from pipeline.feature_assembly import FeatureSnapshot, read_ingested_tables, read_snapshot
from pipeline.overlap_page import plot_reasons, write_page
from pipeline.overlap_tradeoff import Outcome, RankedPart, Week, outcomes
from pipeline.run_context import RunContext
from ranking.item_exposure import with_exposure
from ranking.rank_users import rank_users
from ranking.reason_calibration import BINS, ReasonCurve
from ranking.slate import SlateConfig
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade
from tests.ranking.test_item_exposure import EVERYONE, USERS, first_items, world
from tests.ranking.test_rank_users import ByRetrieval

PLACES = 20


class HoldoutStub:
    """Every user goes on to like the first item of their list without a limit, and the sixth, which is their own."""

    def __init__(self, lists: np.ndarray) -> None:
        self.user_rows = EVERYONE
        liked = lists[:, [0, 5]].ravel().astype(np.int32)
        self.labels = Labels(2 * np.arange(USERS + 1), liked, np.ones(2 * USERS, np.float32))


def week() -> Week:
    snapshot = world(per_common=0, common_discount=0)
    lists = first_items(snapshot, PLACES)
    rows = np.arange(len(snapshot.items.ids), dtype=np.int32)
    view = FeatureSnapshot(CUTOFF, snapshot.items, snapshot.users, rows)
    measured = with_exposure(world(per_common=2), ByRetrieval(), EVERYONE)
    ranked = rank_users(snapshot, ByRetrieval(), EVERYONE, PLACES)
    newest = RankedLists(np.tile(rows[:PLACES], (USERS, 1)))
    return Week(view, HoldoutStub(lists), EVERYONE, [RankedPart.of(EVERYONE, ranked)], measured.exposure, newest)


@pytest.fixture(scope="module")
def rows() -> list[Outcome]:
    return outcomes([week(), week()], SlateConfig(per_creator=0))


def test_the_lists_without_a_limit_come_first_and_lose_nothing(rows: list[Outcome]) -> None:
    first, newest = rows[:2]
    assert (first.family, first.change, first.gain.mean) == ("no limit", 0, 0)
    assert first.ndcg == pytest.approx((1 + 1 / np.log2(7)) / (1 + 1 / np.log2(3)))
    assert (newest.family, newest.overlap, newest.first_share) == ("newest_first", 1, 1)


def test_a_limit_makes_lists_differ_and_costs_the_labels_that_it_moves_down(rows: list[Outcome]) -> None:
    tightest = [row for row in rows if row.family == "limit from 30%, discount 0.1"][-1]
    assert tightest.overlap < rows[0].overlap
    assert tightest.ndcg < rows[0].ndcg
    assert tightest.change == pytest.approx(tightest.ndcg / rows[0].ndcg - 1)


def test_a_week_without_labels_changes_no_mean(rows: list[Outcome]) -> None:
    unlabelled = week()
    nothing = np.zeros(2 * USERS, np.int32)
    unlabelled.holdout.labels = Labels(np.zeros(USERS + 1, np.int64), nothing[:0], nothing[:0].astype(np.float32))
    found = outcomes([week(), unlabelled], SlateConfig(per_creator=0))
    assert [row.ndcg for row in found] == pytest.approx([row.ndcg for row in rows])
    assert [row.change for row in found] == pytest.approx([row.change for row in rows])


def test_a_week_ranks_some_users_at_a_time_and_keeps_one_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = handmade(tmp_path)
    monkeypatch.setattr(overlap_tradeoff, "reranker_at", lambda *_: ByRetrieval())
    together = week_of(night)
    monkeypatch.setattr(evaluation_lists, "USERS_AT_ONCE", 1)
    apart = week_of(night)
    assert [len(part.user_rows) for part in together.parts] == [2]
    assert [len(part.user_rows) for part in apart.parts] == [1, 1]
    assert all(part.text_profile.base is None for part in apart.parts), "a view keeps all features"
    assert outcomes([apart], SlateConfig()) == outcomes([together], SlateConfig())


def week_of(night: RunContext) -> Week:
    """The week after the cutoff of the night, with two users."""
    ingested = read_ingested_tables(night)
    data = read_evaluation_data(night, ingested, Tower().embed_text(ingested.items))
    return overlap_tradeoff._week(night, data, read_snapshot(night, ingested, CUTOFF, Tower()))


def test_the_page_has_every_variant_and_the_similarity_of_reasons(rows: list[Outcome], tmp_path: Path) -> None:
    clicks = np.full(BINS, 100)
    clicks[15:] = 160
    curve = ReasonCurve(clicks, np.full(BINS, 100.0))
    for folder in ("one", "two"):
        write_page(rows, curve, 1.5, tmp_path / folder, "tastefeed backtest --frontier docs")
    page = (tmp_path / "one" / "personalization.md").read_text()
    assert "`tastefeed backtest --frontier docs`" in page
    assert all(row.setting in page for row in rows)
    assert "The similarity with that lift is 0.75." in page
    for name in ("frontier.svg", "reasons.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_lift_of_a_few_clicks_does_not_stretch_the_axis() -> None:
    clicks, expected = np.full(BINS, 100), np.full(BINS, 80.0)
    clicks[-1], expected[-1] = 9, 0.3  # a lift of 30, of nine clicks
    (axes,) = plot_reasons(ReasonCurve(clicks, expected), 1.5).axes
    assert axes.get_ylim() == (0, pytest.approx(2.25))
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "lift of 1.5, from which a reason names an item" in labels
