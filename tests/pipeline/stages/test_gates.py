"""The gates read the stored metrics: models that pass are promoted, others refused with the settings in control."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import GateRefused
from evaluation import GateConfig, MethodMetrics
from pipeline.metrics_store import REHEARSALS, EvaluatedWeek, write_weeks
from pipeline.run_context import RunContext
from pipeline.stages.gates import JUDGED, gates, judged_release_serves
from tests.pipeline.handmade_lake import CUTOFF, handmade, recording
from tests.serving.tiny import publish_tiny

USERS = 40
METHODS = ("newest_first", "popular_1d", "popular_7d", "popular_28d", "item_knn", "ials", "two_tower", "reranked")


def week(final: float) -> EvaluatedWeek:
    """Forty users; every method has an NDCG of a quarter, but for the later steps of the night."""
    level = dict.fromkeys(METHODS, 0.25) | {"two_tower": 0.3, "reranked": 0.35, "final": final}
    methods = [
        MethodMetrics(name, USERS, {"ndcg_at_20": np.full(USERS, value)}, {"ndcg_at_20": value})
        for name, value in level.items()
    ]
    regions = {"region": np.full(USERS, "SP", object)}
    return EvaluatedWeek(np.arange(USERS, dtype=np.int32), methods, CUTOFF, 1.0, regions)


def measured(lake: Path, final: float, rehearsal: float | None = None) -> RunContext:
    night = handmade(lake)
    with night.lake.new_folder("metrics", night.splits.as_of) as folder:
        write_weeks([week(final)], folder)
        if rehearsal is not None:
            write_weeks([week(rehearsal)], folder / REHEARSALS)
    night.write_summary("metrics", {"champion": {"absent": "no release serves yet"}, "index_recall_at_100": 1.0})
    return night


def test_a_final_list_that_beats_every_baseline_is_promoted(tmp_path: Path) -> None:
    night = measured(tmp_path, final=0.4)
    mlflow = recording(night)
    summary = gates(night)
    assert summary["passed"] == "True"
    assert summary[JUDGED] is True
    assert all(sentence.startswith("passed: ") for sentence in summary["sentences"])
    assert summary["not_judged"][0] == "no champion is compared: no release serves yet"
    assert mlflow.promoted == (), "only what serves is a champion"
    assert mlflow.logged["gate/final_beats_newest_first"] == 1.0
    assert {"gates.json", "gates.md", "gates"} <= set(mlflow.logged)


def test_a_final_list_below_a_baseline_is_refused_with_its_settings(tmp_path: Path) -> None:
    night = measured(tmp_path, final=0.2)
    mlflow = recording(night)
    with pytest.raises(GateRefused, match=r"final_beats_newest_first is controlled by TASTEFEED_GATES__MUST_BEAT"):
        gates(night)
    assert mlflow.promoted == ()
    assert mlflow.ended == ["FAILED"]
    assert any(sentence.startswith("REFUSED: ") for sentence in night.summary("gates")["sentences"])
    assert night.summary("gates")["two_tower_alone"] == {"passed": True, "failed": []}


def test_too_few_users_are_marked_and_no_pass(tmp_path: Path) -> None:
    night = measured(tmp_path, final=0.4)
    night = replace(night, config=night.config.model_copy(update={"gates": GateConfig(min_users=USERS + 1)}))
    recording(night)
    summary = gates(night)
    assert (summary["passed"], summary[JUDGED]) == ("unmeasured", False)
    assert not any("users" in sentence for sentence in summary["sentences"])
    assert summary["not_judged"][1].startswith("40 measured users are too few to compare rankings (41 are asked for)")
    assert "TASTEFEED_GATES__MIN_USERS (now 41)" in summary["not_judged"][2]


def test_the_rehearsal_weeks_are_judged_as_well(tmp_path: Path) -> None:
    night = measured(tmp_path / "good", final=0.4, rehearsal=0.4)
    recording(night)
    assert gates(night)["passed"] == "True"
    night = measured(tmp_path / "bad", final=0.26, rehearsal=0.0)
    recording(night)
    with pytest.raises(GateRefused):
        gates(night)


def test_the_index_has_a_gate_of_its_own(tmp_path: Path) -> None:
    night = measured(tmp_path, final=0.4)
    night.write_summary("metrics", {"champion": {}, "index_recall_at_100": 0.5})
    recording(night)
    with pytest.raises(GateRefused, match="index_recall is controlled by TASTEFEED_GATES__MIN_INDEX_RECALL"):
        gates(night)


def test_an_index_whose_recall_is_no_number_is_refused(tmp_path: Path) -> None:
    night = measured(tmp_path, final=0.4)
    night.write_summary("metrics", {"champion": {}, "index_recall_at_100": float("nan")})
    recording(night)
    with pytest.raises(GateRefused, match="index_recall is controlled by"):
        gates(night)


def test_whether_the_serving_release_was_judged(tmp_path: Path) -> None:
    night = handmade(tmp_path / "lake")
    assert not judged_release_serves(night)
    publish_tiny(night.releases, tmp_path / "fits", metrics={JUDGED: True})
    assert judged_release_serves(night)
    publish_tiny(night.releases, tmp_path / "fits", seed=1, metrics={})
    assert not judged_release_serves(night)
