"""The labels of the re-ranker's pairs, and the cutoffs that have nothing to train on."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts import Settings
from contracts.schemas import DERIVED
from pipeline.feature_assembly import read_ingested_tables, read_snapshot
from pipeline.run_context import open_run_context
from pipeline.stages import reranker as stage
from pipeline.stages.reranker import file_name, labelled_pairs, labels_of
from ranking.feature_names import ALL_FEATURE_NAMES, FEATURE_NAMES
from ranking.reranker import Reranker
from tests.pipeline.handmade_lake import CUTOFF, DAY, Tower, handmade, whole
from tests.pipeline.test_feature_selection import week
from tests.ranking.worlds import pairs

EXAMPLES = [("u1", "d", 2), ("u2", "c", 1), ("u2", "later", 1), ("gone", "a", 2)]


def test_a_save_is_two_a_click_one_and_the_rest_zero(tmp_path: Path) -> None:
    night = handmade(tmp_path)
    rows = [{"cut": CUTOFF, "user_id": user, "item_id": item, "label": label} for user, item, label in EXAMPLES]
    night.overwrite("ranking_examples", whole(rows, DERIVED["ranking_examples"]))
    snapshot = read_snapshot(night, read_ingested_tables(night), CUTOFF, Tower())
    candidates = pairs((0, 2), (0, 3), (1, 2), (1, 3))  # u1 and u2 with c and d
    assert labels_of(night, snapshot, candidates).tolist() == [0, 2, 1, 0]


def test_a_cutoff_without_a_tower_has_no_pairs(tmp_path: Path) -> None:
    night = handmade(tmp_path / "lake")
    (tmp_path / "towers").mkdir()
    assert len(labelled_pairs(night, read_ingested_tables(night), tmp_path / "towers", CUTOFF).labels) == 0


def test_the_file_of_a_re_ranker_is_named_after_its_cutoff() -> None:
    assert file_name(datetime(2017, 3, 1, tzinfo=UTC)) == "cut=2017-03-01T00.txt"


@pytest.mark.parametrize("names", [ALL_FEATURE_NAMES, FEATURE_NAMES], ids=["informative", "noise"])
def test_every_re_ranker_reads_the_transitions_where_these_decide(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same pairs at each cutoff: `after_last` reveals the label of each user, or nothing does."""
    informative = names == ALL_FEATURE_NAMES
    monkeypatch.setenv("TASTEFEED_RANKING__RERANKER__ROUNDS", "20")
    monkeypatch.setenv("TASTEFEED_RANKING__RERANKER__MODELS", "1")
    monkeypatch.setenv("TASTEFEED_RANKING__RERANKER__MIN_LEAF_PAIRS", "5")
    night = open_run_context(str(tmp_path / "lake"), DAY, Settings(label_weeks=2))
    with night.lake.new_folder("two_tower", DAY):
        pass
    logged: dict[str, object] = {}
    monkeypatch.setattr(stage, "read_ingested_tables", lambda night: None)
    monkeypatch.setattr(
        stage, "labelled_pairs", lambda night, ingested, towers, cutoff: week(cutoff.day, informative=informative)
    )
    monkeypatch.setattr(stage, "track", lambda night, trained, selection: logged.update(selection.summary))
    summary = stage.reranker(night)
    assert summary["cooccurrence"] == logged["cooccurrence"] == informative
    with night.lake.open_folder("reranker", DAY) as folder:
        assert {Reranker.load(path).names for path in folder.glob("cut=*.txt")} == {names}
