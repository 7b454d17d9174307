"""Impressions of a label window beside the candidates of its cutoff."""

from pathlib import Path

import pytest

from contracts.schemas import DERIVED
from pipeline.feature_assembly import read_ingested_tables, read_snapshot
from pipeline.run_context import RunContext
from pipeline.shown_pairs import TrainingPairs, with_shown
from ranking.position_bias import NOT_SHOWN, UNKNOWN
from tests.pipeline.handmade_lake import CUTOFF, Tower, handmade, whole
from tests.ranking.worlds import pairs

C, D = 2, 3
"""Rows of items."""


def joined(night: RunContext, *shown: tuple[str, str, int | None, float]) -> TrainingPairs:
    """The candidates `u1` with c and d, and `u2` with d, after impressions."""
    table = [
        {"cut": CUTOFF, "user_id": user, "item_id": item, "impressions": 1, "position": place, "propensity": chance}
        for user, item, place, chance in shown
    ]
    night.overwrite("ranking_impressions", whole(table, DERIVED["ranking_impressions"]))
    view = read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())
    return with_shown(night, view, pairs((0, C), (0, D), (1, D)))


def test_shown_pairs_have_their_place_and_those_that_no_source_proposed_are_added(tmp_path: Path) -> None:
    night = handmade(tmp_path)
    found = joined(night, ("u1", "d", 4, 0.5), ("u2", "c", None, 1.0), ("gone", "c", 0, 1.0), ("u1", "gone", 0, 1.0))
    assert found.shown is not None
    candidates = found.candidates
    rows = zip(candidates.user_rows.tolist(), candidates.item_rows.tolist(), strict=True)
    places = zip(found.shown.positions.tolist(), found.shown.propensities.tolist(), strict=True)
    assert dict(zip(rows, places, strict=True)) == {
        (0, C): (NOT_SHOWN, 1.0),
        (0, D): (4, 0.5),
        (1, C): (UNKNOWN, 1.0),
        (1, D): (NOT_SHOWN, 1.0),
    }
    assert candidates.sources[2] == 0
    assert candidates.retrieval_scores[2] == 1 * C, "the product of the vectors"


def test_without_impressions_or_by_a_setting_the_candidates_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert joined(handmade(tmp_path / "none")).shown is None
    monkeypatch.setenv("TASTEFEED_RANKING__RERANKER__IMPRESSIONS", "false")
    assert joined(handmade(tmp_path / "off"), ("u1", "d", 0, 1.0)).shown is None
