"""What the night refuses, and that the old release goes on serving."""

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from airflow.sdk.exceptions import AirflowFailException
from filelock import FileLock

from pipeline.airflow_tasks import run_task
from pipeline.lake import Lake
from pipeline.run_context import open_run_context
from serving.releases import publish
from tests import tiny

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")


def assert_one_line(stderr: str, *words: str) -> None:
    lines = [line for line in stderr.splitlines() if line.startswith("tastefeed: ")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in lines[0]


def test_a_ranking_that_does_not_beat_its_baselines_is_refused(
    crossed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(crossed, lake)
    monkeypatch.setenv("TASTEFEED_LABEL_WEEKS", tiny.FAST["TASTEFEED_LABEL_WEEKS"])
    monkeypatch.setenv("TASTEFEED_GATES__MIN_GAIN", "0.9")
    with pytest.raises(AirflowFailException, match=r"refused, the old one keeps serving.*of newest_first"):
        run_task("gates", str(lake), tiny.day().isoformat())
    refusal = open_run_context(str(lake), tiny.day()).summary("refusal")
    assert (refusal["stage"], refusal["error"]) == ("gates", "GateRefused")
    assert publish.current(lake / "releases") == publish.current(crossed / "releases")
    assert publish.verify(lake / "releases")


def test_a_re_ranker_that_ranks_worse_than_retrieval_is_refused_and_the_old_release_serves(
    crossed: Path, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(crossed, lake)
    served = publish.current(lake / "releases")
    # trained as if items that users let pass were worth most
    upside_down = {
        "TASTEFEED_RANKING__RERANKER__LABEL_GAINS": "[1, 0, 0]",
        "TASTEFEED_RANKING__RERANKER__RETRIEVAL_WEIGHT": "0",
    }
    night = tiny.tastefeed_here("nightly", "--lake", lake, "--as-of", tiny.day(-1), **upside_down)
    assert night.returncode == 1, night.stdout[-3000:]
    assert_one_line(night.stderr, "the old one keeps serving", "of reranked against", "the champion has")
    assert publish.current(lake / "releases") == served
    assert publish.verify(lake / "releases").version == served
    context = open_run_context(str(lake), tiny.day(-1))
    assert context.summary("metrics")["champion"] == {"version": served, "cut": f"{tiny.day(7)}"}
    refused = {each["gate"] for each in context.summary("gates")["verdicts"] if not each["passed"]}
    assert {"reranked_beats_two_tower", "keeps_up_with_champion"} <= refused
    run = context.mlflow.client.get_run(context.mlflow_run)
    assert run.info.status == "FAILED"
    assert run.data.metrics["gate/reranked_beats_two_tower"] == 0
    assert run.data.metrics["gate/index_recall"] == 1


def test_too_many_broken_rows_stop_the_night_before_training(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    good = len(tiny.events())
    at = tiny.START + timedelta(days=1)
    broken = [(f"person-{row}", "item-00", "shrug", at) for row in range(good * 6 // 94 + 1)]
    tiny.ingest(lake, extra=pl.DataFrame(broken, schema=["user_id", "item_id", "action", "timestamp"], orient="row"))
    night = tiny.tastefeed_here("nightly", "--lake", lake)
    assert night.returncode == 1
    assert_one_line(night.stderr, "unknown_action", "6.0", "TASTEFEED_MAX_BAD_SHARE")
    assert "Traceback" not in night.stdout
    assert Lake(lake).partitions("quarantine") == [tiny.day()]
    assert Lake(lake).partitions("two_tower") == []


def test_an_empty_lake_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    night = tiny.tastefeed_here("nightly", "--lake", tmp_path / "lake")
    assert night.returncode == 1
    assert_one_line(night.stderr, "no events are ingested", "tastefeed import")


def test_two_nights_on_one_lake_do_not_meet(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    tiny.ingest(lake)
    with FileLock(lake / ".night.lock"):
        night = tiny.tastefeed("nightly", "--lake", lake)
    assert night.returncode == 1
    assert_one_line(night.stderr, "another night is running")


def test_wrong_usage_is_status_2(tmp_path: Path) -> None:
    assert tiny.tastefeed_here("nightly", "--as-of", "yesterday").returncode == 2
    assert tiny.tastefeed_here("import").returncode == 2
    assert tiny.tastefeed_here("recommend").returncode == 2


def test_a_wrong_setting_is_named_and_its_value_is_not(tmp_path: Path) -> None:
    night = tiny.tastefeed_here("nightly", "--lake", tmp_path, TASTEFEED_HOLDOUT_DAYS="soon")
    assert night.returncode == 1
    assert_one_line(night.stderr, "holdout_days")
    assert "soon" not in night.stderr
