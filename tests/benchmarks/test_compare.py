"""Real benchmark runs in a real MLflow, held against each other: who wins, who is not told apart, what is refused."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.comparison import Plan, compare, popularity_groups, touches
from benchmarks.datasets import load
from benchmarks.interaction_matrix import labels_of
from contracts import Settings
from contracts.errors import NotComparable, UnknownRun
from pipeline.code_version import git_commit
from pipeline.experiments.compare import compare_runs
from tests import tiny

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
SETTINGS = Settings(threads=1)


def interactions(people: int = 60) -> pl.DataFrame:
    """Who likes one item of a block likes its next ones: neighbours know what comes, and popularity does not."""
    rows = [
        (f"person-{person:02}-zq", f"item-{6 * (person % 6) + (person // 6 + step) % 6}", step + 1)
        for person in range(people)
        for step in range(3 + person % 3)
    ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "time_pos"], orient="row")


def written(folder: Path, people: int = 60) -> None:
    (folder / "data" / "ml-1m").mkdir(parents=True, exist_ok=True)
    interactions(people).write_parquet(folder / "data" / "ml-1m" / "interactions.parquet")


def bench(folder: Path, *, trials: int = 0, people: int = 60, out: str = "out", **fixed: dict[str, object]) -> Path:
    written(folder, people)
    methods = ["most_popular", "item_knn"] if not fixed else list(fixed)
    compare(Plan(folder / "data", "ml-1m", methods, trials, fixed, folder / out, "tastefeed bench retrieval"), SETTINGS)
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


def held(out: Path, a: str, b: str, **asked: str):
    return compare_runs(a, b, lakes=[str(out)], settings=SETTINGS, **asked)


def test_a_planted_better_method_wins_on_one_screen(out: Path) -> None:
    said = tiny.tastefeed_here("compare", "bench/most_popular", "bench/item_knn", "--lake", out)
    assert said.returncode == 0, said.stderr
    assert "B is better than A by +" in said.stdout
    assert "NDCG@10 over 60 people: the interval excludes zero." in said.stdout
    assert "B higher" in said.stdout
    assert said.stdout.count("\n") < 50
    assert max(map(len, said.stdout.splitlines())) < 180
    assert "-zq" not in said.stdout


def test_two_equal_runs_cannot_be_told_apart(out: Path) -> None:
    one, two = (run.info.run_id for run in runs(out, "item_knn"))
    found = held(out, one, two[:12])
    assert {found.a.run.info.run_id, found.b.run.info.run_id} == {one, two}
    assert "A and B do not differ" in found.differences.verdict


def test_it_says_which_settings_differ(out: Path) -> None:
    found = held(out, "bench/most_popular", "bench/item_knn")
    assert ("method", "most_popular", "item_knn") in found.settings
    assert ("config.neighbours", "–", "100") in found.settings
    assert "seed" not in {name for name, *_ in found.settings}


def test_other_data_is_refused_with_what_differs(out: Path, tmp_path: Path) -> None:
    other = bench(tmp_path, people=58, most_popular={})
    told = tiny.tastefeed_here(
        "compare", "bench/item_knn", runs(other, "most_popular")[0].info.run_id, "--lake", out, "--lake", other
    )
    assert told.returncode == 1
    assert told.stderr.count("\n") == 1
    assert "answer different questions: train (" in told.stderr
    assert "users (" in told.stderr
    assert "run both on the same data" in told.stderr
    assert "dataset (" not in told.stderr


def test_the_newest_of_a_name_is_meant(out: Path) -> None:
    newest = max(runs(out, "item_knn"), key=lambda run: run.info.start_time)
    assert held(out, "bench/most_popular", "bench/item_knn").b.run.info.run_id == newest.info.run_id


@pytest.mark.parametrize(
    ("word", "kind", "told"),
    [
        ("bench/sasrec", UnknownRun, "bench/sasrec: no such run; `tastefeed compare` without runs lists"),
        ("nights/final", UnknownRun, "nights/final: no such run"),
        ("deadbeef", UnknownRun, "deadbeef: no such run"),
        ("ab", UnknownRun, "ab: give a run's id, at least 4 characters of it, or experiment/name"),
        ("bench/it's", UnknownRun, "a name with a quote cannot be searched for"),
        ("bench/retrieval ml-1m", NotComparable, "holds no per-user metrics; compare one of its methods: item_knn"),
    ],
)
def test_a_run_that_is_not_there_is_one_line(out: Path, word: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        held(out, word, "bench/item_knn")


def test_a_folder_without_runs_is_one_line_and_stays_empty(tmp_path: Path) -> None:
    said = tiny.tastefeed_here("compare", "bench/a", "bench/b", "--lake", tmp_path)
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    assert "holds no mlflow.db; give the lake of a night or the --out of a benchmark" in said.stderr
    assert list(tmp_path.iterdir()) == []


def test_lost_marks_are_one_line(out: Path, tmp_path: Path) -> None:
    run = runs(out, "most_popular")[0]
    marks = out / "mlartifacts" / run.info.run_id / "artifacts" / "marks.parquet"
    shutil.move(marks, tmp_path)
    with pytest.raises(NotComparable, match=f"run {run.info.run_id} has lost its marks.parquet"):
        held(out, "bench/most_popular", "bench/item_knn")
    shutil.move(tmp_path / "marks.parquet", marks)


def test_a_run_carries_intervals_slices_curves_and_its_commit(out: Path) -> None:
    run = min(runs(out, "item_knn"), key=lambda run: run.info.start_time)  # the one that was tuned
    figures, tags = run.data.metrics, run.data.tags
    assert figures["ndcg_at_10.low"] < figures["ndcg_at_10"] < figures["ndcg_at_10.high"]
    history = {name for name in figures if name.startswith("slice/history.") and name.endswith("/ndcg_at_10")}
    assert history == {"slice/history.light/ndcg_at_10", "slice/history.heavy/ndcg_at_10"}
    assert "slice/items.popular/recall_at_10" in figures
    assert run.data.params["config.weighting"]
    assert tags["mlflow.source.git.commit"] == git_commit()
    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "search_value")] == [0, 1]
    assert "slices.csv" in {file.path for file in client.list_artifacts(run.info.run_id)}


def test_no_artifact_names_a_person(out: Path) -> None:
    files = [out / "mlflow.db", *(path for path in (out / "mlartifacts").rglob("*") if path.is_file())]
    assert sum(path.name == "marks.parquet" for path in files) == 3
    for path in files:
        told = pl.read_parquet(path).write_json().encode() if path.suffix == ".parquet" else path.read_bytes()
        assert b"-zq" not in told, path


def test_groups_count_training_rows_alone(tmp_path: Path) -> None:
    written(tmp_path)
    split = load(tmp_path / "data", "ml-1m", seed=7)
    asked = pl.Series(["person-00-zq", "person-02-zq", "nobody"])
    assert touches(split, asked).tolist() == [2, 4, 0]  # of 3 and 5 rows the last one is the test's
    groups = popularity_groups(split, labels_of(split.test, asked, split.item_ids))
    assert groups["popular"].sum() == 8  # a fifth of 36, rounded up
    assert not (groups["popular"] & groups["tail"]).any()
