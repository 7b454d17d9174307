"""Two nights with different settings on a lake that serves; the lake is a copy, then moved and made read-only."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import pytest
from mlflow import MlflowClient

from tests import tiny
from tests.serving.http.test_server import served

# MLflow and Airflow warn about their own dependencies when they are imported
pytestmark = pytest.mark.filterwarnings("ignore")
LATE = ("2017-03-05T00:00:00Z", "2017-03-06T12:00:00Z")
"""After the end of the night's data."""
DIVERSE = {"TASTEFEED_RANKING__SLATE__DIVERSITY": "0.5"}


def written(lake: Path) -> Mapping[Path, int]:
    """When each file of a lake was written; reading a database creates and removes files beside it."""
    files = [path for path in lake.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock"))]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def lake(crossed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a lake has served, and received events; then its night was run again with one other setting."""
    folder = tmp_path_factory.mktemp("compared")
    copy = Path(shutil.copytree(crossed, folder / "copy"))
    before = written(crossed)
    rows = [{"user_id": tiny.name(1), "item_id": "item-58", "action": "click", "timestamp": at} for at in LATE]
    with served(SimpleNamespace(folder=copy), folder / "server.log", workers=1) as url:
        assert httpx.post(f"{url}/v1/events", json={"events": rows}).json()["accepted"] == len(rows)
    night = tiny.tastefeed_here("nightly", "--lake", copy, "--as-of", tiny.day(), "--label", "diverse", **DIVERSE)
    assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
    assert written(crossed) == before, "the night of a copy wrote into the original"
    return copy


def compared(*arguments: object) -> dict:
    done = tiny.tastefeed_here("compare", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_two_nights_are_compared_by_their_labels(lake: Path) -> None:
    result = compared("first night", "diverse", "--lake", lake)
    assert (result["a"]["name"], result["b"]["name"]) == ("nightly/final", "nightly/final")
    assert (result["a"]["label"], result["b"]["label"]) == ("first night", "diverse")
    assert result["settings"] == [{"setting": "ranking.slate.diversity", "a": "0.0", "b": "0.5"}]
    assert "A and B do not differ" in result["verdict"] or "B is" in result["verdict"]
    assert result["minimum_detectable_effect"] >= 0
    assert {"metric", "a", "b", "low", "high"} <= set(result["differences"][0])


def test_a_night_is_named_by_its_parent_run_and_a_method_by_its_label(lake: Path) -> None:
    client = MlflowClient(f"sqlite:///{lake}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("nightly").experiment_id])
    parents = {
        run.data.tags["tastefeed.label"]: run.info.run_id for run in runs if run.info.run_name.startswith("night ")
    }
    assert set(parents) == {"first night", "diverse"}
    result = compared(parents["first night"], "diverse/two_tower", "--lake", lake)
    assert (result["a"]["name"], result["b"]["name"]) == ("nightly/final", "nightly/two_tower")


def test_the_list_of_runs_shows_how_they_differ(lake: Path) -> None:
    runs = compared("--lake", lake)["runs"]
    finals = {run["label"]: run["differs"] for run in runs if run["name"] == "nightly/final"}
    assert finals == {
        "first night": "ranking.slate.diversity=0.0",
        "diverse": "ranking.slate.diversity=0.5",
    }
    assert len({run["question"] for run in runs}) == 1


def test_the_comparison_of_mlflow_shows_the_changed_setting_alone(lake: Path) -> None:
    client = MlflowClient(f"sqlite:///{lake}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("nightly").experiment_id])
    a, b = (run for run in runs if run.info.run_name.startswith("night "))
    differing = {
        name for name in {*a.data.params, *b.data.params} if a.data.params.get(name) != b.data.params.get(name)
    }
    assert differing - {"airflow_home"} == {"ranking.slate.diversity"}, "the tests give the second night another home"
    digests = [{each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs} for run in (a, b)]
    assert digests[0] == digests[1]


def test_a_moved_and_read_only_lake_is_compared_and_served(lake: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(lake, tmp_path / "elsewhere" / "lake"))
    hidden = lake.rename(lake.with_name("hidden"))
    tiny.make_read_only(moved)
    before = written(moved)
    try:
        done = tiny.tastefeed("compare", "first night", "diverse", "--lake", moved, prefix=tiny.BOUND_BY_PERMISSIONS)
        assert done.returncode == 0, done.stderr
        assert "ranking.slate.diversity" in done.stdout
        log = tmp_path / "server.log"
        with served(SimpleNamespace(folder=moved), log, workers=1, prefix=tiny.BOUND_BY_PERMISSIONS) as url:
            assert httpx.get(f"{url}/v1/users/{tiny.name(1)}/home-feed").json()["personalized"]
        assert written(moved) == before
    finally:
        hidden.rename(lake)


def test_a_label_that_could_not_be_named_is_refused_before_the_night(lake: Path) -> None:
    for label in ("a/b", "x" * 65, "it's"):
        refused = tiny.tastefeed_here("nightly", "--lake", lake, "--as-of", tiny.day(), "--label", label)
        assert refused.returncode == 1
        assert "a label has at most 64 printable characters, no slash and no quote" in refused.stderr
