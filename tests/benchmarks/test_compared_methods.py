"""Real benchmark runs in a real MLflow, compared: which method wins, which two are alike, what is refused."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.comparison import ComparisonPlan, compare, popularity_groups, training_item_counts
from benchmarks.datasets import load
from benchmarks.interaction_matrix import labels_of
from contracts import Settings
from contracts.errors import NotComparable, UnknownRun
from pipeline.code_version import git_commit
from pipeline.experiments.compare import compare_runs
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
SETTINGS = Settings(threads=1)


def interactions(user_count: int = 60) -> pl.DataFrame:
    """A user of one item of a block likes its next ones: neighbours predict what comes, and popularity does not."""
    rows = [
        (f"person-{person:02}-zq", f"item-{6 * (person % 6) + (person // 6 + step) % 6}", step + 1)
        for person in range(user_count)
        for step in range(3 + person % 3)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "time_pos"], orient="row")


def written(folder: Path, user_count: int = 60) -> None:
    (folder / "data" / "ml-1m").mkdir(parents=True, exist_ok=True)
    interactions(user_count).write_parquet(folder / "data" / "ml-1m" / "interactions.parquet")


def bench(folder: Path, *, trials: int = 0, user_count: int = 60, out: str = "out", **fixed: dict[str, object]) -> Path:
    written(folder, user_count)
    methods = ["most_popular", "item_knn"] if not fixed else list(fixed)
    compare(
        ComparisonPlan(folder / "data", "ml-1m", methods, trials, fixed, folder / out, "tastefeed bench retrieval"),
        SETTINGS,
    )
    return folder / out


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Popularity and neighbours; and neighbours once more, as they were, in the same MLflow."""
    folder = tmp_path_factory.mktemp("compare")
    bench(folder, trials=2)
    return bench(folder, item_knn={"neighbours": 100})


def runs(out: Path, name: str) -> list[Run]:
    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("bench").experiment_id
    return list(client.search_runs([experiment], f"attributes.run_name = '{name}'"))


def comparison_of(out: Path, a: str, b: str, **options: str):
    return compare_runs(a, b, lakes=[str(out)], settings=SETTINGS, **options)


def test_a_planted_better_method_wins_on_one_screen(out: Path) -> None:
    done = tiny.tastefeed_here("compare", "bench/most_popular", "bench/item_knn", "--lake", out)
    assert done.returncode == 0, done.stderr
    assert "B is better than A by +" in done.stdout
    assert "NDCG@10 over 60 users: the interval excludes zero." in done.stdout
    assert "B higher" in done.stdout
    assert done.stdout.count("\n") < 50
    assert max(map(len, done.stdout.splitlines())) < 180
    assert "-zq" not in done.stdout


def test_two_equal_runs_do_not_differ(out: Path) -> None:
    one, two = (run.info.run_id for run in runs(out, "item_knn"))
    comparison = comparison_of(out, one, two[:12])
    assert {comparison.a.run.info.run_id, comparison.b.run.info.run_id} == {one, two}
    assert "A and B do not differ" in comparison.differences.verdict


def test_the_settings_that_differ_are_listed(out: Path) -> None:
    comparison = comparison_of(out, "bench/most_popular", "bench/item_knn")
    assert ("method", "most_popular", "item_knn") in comparison.settings
    assert ("neighbours", "–", "100") in comparison.settings
    assert "seed" not in {name for name, *_ in comparison.settings}


def test_other_data_is_refused_with_what_differs(out: Path, tmp_path: Path) -> None:
    other = bench(tmp_path, user_count=58, most_popular={})
    done = tiny.tastefeed_here(
        "compare", "bench/item_knn", runs(other, "most_popular")[0].info.run_id, "--lake", out, "--lake", other
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "answer different questions: train (" in done.stderr
    assert "users (" in done.stderr
    assert "run both on the same data" in done.stderr
    assert "dataset (" not in done.stderr


def test_the_newest_of_a_name_is_meant(out: Path) -> None:
    newest = max(runs(out, "item_knn"), key=lambda run: run.info.start_time)
    assert comparison_of(out, "bench/most_popular", "bench/item_knn").b.run.info.run_id == newest.info.run_id


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("bench/sasrec", UnknownRun, "bench/sasrec: no such run; `tastefeed compare` without runs lists"),
        ("nights/final", UnknownRun, "nights/final: no such run"),
        ("deadbeef", UnknownRun, "deadbeef: no such run"),
        ("ab", UnknownRun, "ab: give a run's id, at least 4 characters of it, or experiment/name"),
        ("bench/it's", UnknownRun, "a name with a quote cannot be searched for"),
        ("bench/retrieval ml-1m", NotComparable, "holds no per-user metrics; compare one of its methods: item_knn"),
    ],
)
def test_a_run_that_is_not_there_is_one_line(out: Path, word: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        comparison_of(out, word, "bench/item_knn")


def test_a_folder_without_runs_is_one_line_and_stays_empty(tmp_path: Path) -> None:
    done = tiny.tastefeed_here("compare", "bench/a", "bench/b", "--lake", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "holds no mlflow.db; give the lake of a night or the --out of a benchmark" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_lost_per_user_metrics_are_one_line(out: Path, tmp_path: Path) -> None:
    run = runs(out, "most_popular")[0]
    per_user = out / "mlartifacts" / run.info.run_id / "artifacts" / "marks.parquet"
    shutil.move(per_user, tmp_path)
    with pytest.raises(NotComparable, match=f"run {run.info.run_id} has lost its marks.parquet"):
        comparison_of(out, "bench/most_popular", "bench/item_knn")
    shutil.move(tmp_path / "marks.parquet", per_user)


def test_a_run_carries_intervals_slices_curves_and_its_commit(out: Path) -> None:
    run = min(runs(out, "item_knn"), key=lambda run: run.info.start_time)  # the one that was tuned
    figures, tags = run.data.metrics, run.data.tags
    assert figures["ndcg_at_10_low"] < figures["ndcg_at_10"] < figures["ndcg_at_10_high"]
    segments = {name for name in figures if name.startswith("segment/history.")}
    assert segments == {"segment/history.light", "segment/history.heavy"}
    assert run.data.params["config.weighting"]
    assert tags["mlflow.source.git.commit"] == git_commit()
    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "search_value")] == [0, 1]
    assert "slices.csv" in {file.path for file in client.list_artifacts(run.info.run_id)}


def test_no_artifact_names_a_user(out: Path) -> None:
    files = [out / "mlflow.db", *(path for path in (out / "mlartifacts").rglob("*") if path.is_file())]
    assert sum(path.name == "marks.parquet" for path in files) == 3
    for path in files:
        content = pl.read_parquet(path).write_json().encode() if path.suffix == ".parquet" else path.read_bytes()
        assert b"-zq" not in content, path


def test_groups_count_training_rows_alone(tmp_path: Path) -> None:
    written(tmp_path)
    split = load(tmp_path / "data", "ml-1m", seed=7)
    user_ids = pl.Series(["person-00-zq", "person-02-zq", "unknown"])
    assert training_item_counts(split, user_ids).tolist() == [2, 4, 0]  # of 3 and 5 rows the last one is the test's
    groups = popularity_groups(split, labels_of(split.test, user_ids, split.item_ids))
    assert groups["popular"].sum() == 8  # a fifth of 36, rounded up
    assert not (groups["popular"] & groups["tail"]).any()
