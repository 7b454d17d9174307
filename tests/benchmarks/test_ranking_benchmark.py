"""Both stages through the command line, on a made-up data set where fashion matters: and that no window leaks."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

from benchmarks.benchmark_report import write_report
from benchmarks.ranking_benchmark import WindowsConfig, folder_of, new_ratings, plan_of, read_events, split_of
from contracts.errors import BadEvaluationInput, DataMissing
from tests import tiny
from tests.benchmarks import ranking_world

LABEL_WINDOWS = 2
CHEAP = {"windows.label_windows": LABEL_WINDOWS, "reranker.rounds": 20}
"""What `--set` gets: a quarter of the trees."""


def bench(data: Path, out: Path, *arguments: object):
    fixed = [word for name, value in CHEAP.items() for word in ("--set", f"{name}={value}")]
    options = ("--data", data, "--dataset", "ml-100k", "--trials", 1, *fixed)
    one_encoder = {"TASTEFEED_TWO_TOWER__ENCODER": "ridge"}
    return tiny.tastefeed_here("bench", "ranking", *options, "--out", out, *arguments, **one_encoder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run beside two peers."""
    folder = tmp_path_factory.mktemp("ranking")
    done = bench(ranking_world.write(folder / "data"), folder / "out", "--peers", "most_popular,item_knn")
    assert done.returncode == 0, done.stderr
    return folder


def metrics_of(run: Path) -> dict:
    return json.loads((run / "out" / "metrics.json").read_text())


def test_the_re_ranker_beats_retrieval_where_fashion_matters(run: Path) -> None:
    metrics = metrics_of(run)
    for peer in ("two_tower", "most_popular", "item_knn"):
        assert metrics["gains"][peer]["ndcg_at_10"]["low"] > 0
    figures = {name: method["figures"]["ndcg_at_10"] for name, method in metrics["methods"].items()}
    assert figures["night"] > 1.1 * figures["two_tower"]
    assert figures["final"] > 1.1 * figures["two_tower"]


def test_metrics_hold_quality_and_costs_of_each_method_and_name_no_user(run: Path) -> None:
    text = (run / "out" / "metrics.json").read_text()
    metrics = json.loads(text)
    assert list(metrics["methods"]) == ["most_popular", "item_knn", "two_tower", "night", "final"]
    for method in metrics["methods"].values():
        assert {"hit_rate_at_10", "recall_at_10", "fit_seconds", "peak_rss_mb"} <= set(method["figures"])
        assert method["figures"]["users_per_second"] > 0
    assert (
        metrics["methods"]["final"]["figures"]["fit_seconds"]
        > metrics["methods"]["two_tower"]["figures"]["fit_seconds"]
    )
    assert metrics["command"].startswith("tastefeed bench ranking --data data --dataset ml-100k")
    assert str(run) not in text


def test_lists_leave_out_what_was_rated_before_and_rank_from_one(run: Path) -> None:
    log = read_events(run / "data" / "ml-100k")
    cutoff = plan_of(log["timestamp"], WindowsConfig(label_windows=LABEL_WINDOWS)).eval_cutoffs[1]
    for name in ("final", "two_tower", "item_knn"):
        lists = pl.read_parquet(run / "out" / "lists" / f"{name}.parquet")
        assert lists.join(log.filter(pl.col("timestamp") < cutoff), on=["user_id", "item_id"]).is_empty()
        assert lists["rank"].unique().sort().to_list() == list(range(1, 11))


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
def test_mlflow_has_a_row_a_method(run: Path) -> None:
    client = MlflowClient(f"sqlite:///{run / 'out' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bench").experiment_id])
    names = sorted(each.info.run_name for each in runs)
    assert names == ["final", "item_knn", "most_popular", "night", "ranking ml-100k", "two_tower"]
    (parent,) = (each for each in runs if each.info.run_name == "ranking ml-100k")
    assert [each.dataset.name for each in parent.inputs.dataset_inputs] == ["events", "items", "users"]
    assert parent.data.metrics["data/kept"] == ranking_world.ratings().height
    assert {each.info.status for each in runs} == {"FINISHED"}


def test_the_page_is_made_of_the_run(run: Path) -> None:
    page = write_report([run / "out"], run / "docs")
    assert page.name == "benchmarks-ranking.md"
    assert "Reached over `two_tower`" in page.read_text()
    assert not (run / "docs" / "benchmarks.md").exists()


def test_nothing_of_the_test_window_reaches_a_list(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same log with other films and ratings from the test's cutoff on gives each user the same lists."""
    for module in ("ranking_benchmark", "comparison"):  # this process has a JVM already
        monkeypatch.setattr(f"benchmarks.{module}.in_fresh_process", lambda work, job: work(job))
    log = pl.read_parquet(run / "data" / "ml-100k" / "interactions.parquet")
    windows = plan_of(read_events(run / "data" / "ml-100k")["timestamp"], WindowsConfig(label_windows=LABEL_WINDOWS))
    later = pl.col("timestamp") >= int(windows.eval_cutoffs[1].timestamp())
    other = {"item_id": (pl.col("item_id") * 7 + 3) % ranking_world.ITEMS, "rating": 6 - pl.col("rating")}
    changed = log.with_columns(
        pl.when(later).then(value).otherwise(pl.col(name)).alias(name) for name, value in other.items()
    )
    assert not changed.equals(log)
    data = ranking_world.write(run / "changed", changed)
    done = bench(data, run / "changed-out", "--peers", "most_popular")
    assert done.returncode == 0, done.stderr
    for name in ("final", "night", "two_tower", "most_popular"):
        before, after = (pl.read_parquet(run / out / "lists" / f"{name}.parquet") for out in ("out", "changed-out"))
        both = before.join(after, on=["user_id", "rank"], suffix="_after")
        assert both.height > 500
        assert both["item_id"].equals(both["item_id_after"].rename("item_id"))


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    ranking_world.write(tmp_path / "data")
    done = bench(tmp_path / "data", tmp_path / "out", "--set", "reranker.rounds=0")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--set reranker.rounds: Input should be greater than or equal to 1; see the fields" in done.stderr
    assert "write PART.FIELD=VALUE" in bench(tmp_path / "data", tmp_path / "out", "--set", "rerank.rounds=9").stderr


def test_retrieval_alone_is_no_peer(tmp_path: Path) -> None:
    done = bench(ranking_world.write(tmp_path / "data"), tmp_path / "out", "--peers", "two_tower")
    assert done.returncode == 1
    assert "two_tower is retrieval alone" in done.stderr


def test_the_lake_of_a_run_is_gone(run: Path) -> None:
    assert not list((run / "out").glob("lake*"))


def test_absent_data_is_one_line(tmp_path: Path) -> None:
    done = bench(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


START = datetime(2000, 1, 1, tzinfo=UTC)
KINDS = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Datetime("us", "UTC")}
ONE_WINDOW = WindowsConfig(share=0.1, label_windows=1)


def events(*rows: tuple[str, str, float]) -> pl.DataFrame:
    dated = [(user, item, START + timedelta(days=day)) for user, item, day in rows]
    return pl.DataFrame(dated, schema=KINDS, orient="row")


def words(pairs: pl.DataFrame) -> list[str]:
    return sorted(" ".join(row) for row in pairs.select("user_id", "item_id").rows())


def daily(days: int) -> pl.DataFrame:
    return events(*((f"u{day % 2}", f"i{day}", day + 0.1) for day in range(days)))


def test_windows_of_whole_days_end_with_the_last_day() -> None:
    plan = plan_of(daily(30)["timestamp"], ONE_WINDOW)  # a tenth of 30 daily events: 3 days
    assert (plan.as_of, plan.label_days) == ((START + timedelta(days=30)).date(), 3)
    assert plan.eval_cutoffs == (START + timedelta(days=24), START + timedelta(days=27))
    assert plan.training_cutoffs(plan.eval_cutoffs[1]) == (
        plan.eval_cutoffs[0],
    )  # the test's re-ranker learns up to its own cutoff


def test_no_part_holds_anything_of_a_later_one() -> None:
    log = daily(30)
    plan = plan_of(log["timestamp"], ONE_WINDOW)
    split = split_of(log, plan, "ml-100k")
    assert words(split.validation_train) == words(log.head(24).drop("timestamp"))
    assert words(split.validation) == ["u0 i24", "u0 i26", "u1 i25"]
    assert words(split.train) == words(log.head(27).drop("timestamp"))
    assert words(split.test) == ["u0 i28", "u1 i27", "u1 i29"]
    assert "from 2000-01-28 on" in split.protocol


def test_labels_are_new_items_of_known_users() -> None:
    cutoff = START + timedelta(days=10)
    log = events(
        ("ann", "a", 9.9),
        ("ann", "a", 10.5),  # rated again
        ("ann", "b", 10.0),  # exactly at the cutoff
        ("ann", "b", 11.0),
        ("ann", "c", 13.0),  # beyond the window
        ("new", "a", 10.5),  # a user without history
    )
    assert words(new_ratings(log, cutoff, timedelta(days=3))) == ["ann b"]


def test_too_few_days_are_refused_with_a_remedy() -> None:
    with pytest.raises(BadEvaluationInput, match=r"9 label windows of 3 days .* fewer windows.label_windows"):
        plan_of(daily(30)["timestamp"], WindowsConfig(label_windows=9))


def test_events_are_read_oldest_first(tmp_path: Path) -> None:
    log = read_events(folder_of(ranking_world.write(tmp_path), "ml-100k"))
    assert log.columns == ["user_id", "item_id", "timestamp"]
    assert log["timestamp"].is_sorted()
    assert log.height == ranking_world.DAYS * ranking_world.USERS


def test_absent_data_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"ml-1m/interactions.parquet: no such file; skipped, give the folder"):
        folder_of(tmp_path, "ml-1m")
    with pytest.raises(DataMissing, match="gowalla: no such data set for ranking; choose one of ml-100k, ml-1m"):
        folder_of(tmp_path, "gowalla")
