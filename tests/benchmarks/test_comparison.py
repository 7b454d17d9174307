"""A whole comparison through the command line, on a made-up data set; and the page that reports it."""

import json
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

from benchmarks.benchmark_report import write_report
from contracts.errors import UnreadableInput
from pipeline import stage_progress
from tests import tiny


def bench(folder: Path, *arguments: object):
    return tiny.tastefeed_here("bench", "retrieval", "--data", folder / "data", "--out", folder / "out", *arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours untuned but for what is set, beside a peer, one trial each, on a data set of sixty users."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "data" / "ml-1m").mkdir(parents=True)
    rows = [(user, 2 * ((user + step) % 9) + user % 2, step + 1) for user in range(60) for step in range(2 + user % 5)]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "time_pos"], orient="row")
    table.write_parquet(folder / "data" / "ml-1m" / "interactions.parquet")
    written = folder / "bench.toml"
    fixed = "[set.ease]\nmost_items = 9\n[set.two_tower]\nminutes = 0.05\n"
    written.write_text(f'dataset = "gowalla"\nmethods = ["ease", "two_tower"]\ntrials = 1\n{fixed}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_progress, "LINE_EVERY_S", 0.2)
        done = bench(folder, "--config", written, "--dataset", "ml-1m", "--set", "ease.most_items=18")
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def test_lines_state_which_method_runs_and_how_many_are_done(run: Path) -> None:
    printed = (run / "printed.txt").read_text()
    assert " s  running: 0 of 2 methods, ease fit\n" in printed
    assert " s  running: 1 of 2 methods, two_tower fit\n" in printed


def test_metrics_name_every_method_its_costs_and_how_to_run_it_again(run: Path) -> None:
    text = (run / "out" / "metrics.json").read_text()
    results = json.loads(text)
    assert list(results["methods"]) == ["ease", "two_tower"]
    assert all(method["figures"]["peak_rss_mb"] > 50 for method in results["methods"].values())
    assert results["methods"]["two_tower"]["chosen"]["encoder"]
    assert results["methods"]["ease"]["chosen"] == {}, "a peer's search is outside its fit"
    assert set(results["gains"]["ease"]["ndcg_at_10"]) == {"mean", "low", "high"}
    assert results["methods"]["ease"]["config"]["most_items"] == 18, "the flag counts before the file"
    assert results["command"].startswith(
        "tastefeed bench retrieval --data data --dataset ml-1m --methods ease,two_tower"
    )
    assert str(run) not in text


def test_raw_outputs_hold_every_user_list_and_trial(run: Path) -> None:
    per_user = pl.read_parquet(run / "out" / "per_user.parquet")
    means = per_user.group_by("method").agg(pl.col("ndcg_at_10").mean())
    methods = json.loads((run / "out" / "metrics.json").read_text())["methods"]
    for name, mean in means.rows():
        assert mean == pytest.approx(methods[name]["figures"]["ndcg_at_10"])
    search = pl.read_parquet(run / "out" / "search.parquet")
    assert search["state"].to_list() == ["complete"], "ours chooses inside its fit"
    assert (
        json.loads(search.filter(pl.col("study").str.contains("ease"))["config"][0])["regularization"] == 500
    )  # defaults
    lists = pl.read_parquet(run / "out" / "lists" / "ease.parquet")
    assert lists.columns == ["user_id", "item_id", "rank", "score"]


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
def test_mlflow_has_a_row_a_method_and_no_user(run: Path) -> None:
    client = MlflowClient(f"sqlite:///{run / 'out' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("bench").experiment_id])
    assert sorted(each.info.run_name for each in runs) == ["ease", "retrieval ml-1m", "two_tower"]
    ease = next(each for each in runs if each.info.run_name == "ease")
    assert ease.data.metrics["fit_seconds"] > 0
    assert ease.data.params["config.most_items"] == "18"


def test_the_page_is_made_of_the_run(run: Path) -> None:
    page = write_report([run / "out"], run / "docs").read_text()
    assert "tastefeed bench retrieval --data data --dataset ml-1m" in page
    assert "| two_tower | – | minutes 0.05, encoder " in page
    assert (run / "docs" / "benchmarks" / "ml-1m.svg").read_text().startswith("<?xml")
    first = (run / "docs" / "benchmarks" / "ml-1m.svg").read_bytes()
    write_report([run / "out"], run / "docs")
    assert (run / "docs" / "benchmarks" / "ml-1m.svg").read_bytes() == first


def test_a_further_run_of_a_data_set_is_a_row_of_its_variants(run: Path) -> None:
    read = json.loads((run / "out" / "metrics.json").read_text())
    other = run / "other"
    other.mkdir(exist_ok=True)
    ours = read["methods"]["two_tower"]
    ours["config"]["minutes"], ours["params"] = 30, {"minutes": 30}
    (other / "metrics.json").write_text(json.dumps(read | {"seed": 8, "methods": {"two_tower": ours}}))
    page = write_report([run / "out", other], run / "docs").read_text()
    assert f"| minutes 30 | 8 | {read['machine']['training']} |" in page
    assert f"TASTEFEED_SEED=8 {read['command']}" in page
    kept = [run / "docs" / "benchmarks" / name for name in ("other.json", "out.json")]  # as a shell may sort them
    assert write_report(kept, run / "again").read_text() == page, "the page can be made of what was kept"
    assert str(run) not in kept[0].read_text()
    alone = write_report([kept[0]], run / "alone")
    assert "![" not in alone.read_text(), "a single bar compares nothing"
    assert not list(alone.parent.rglob("*.svg"))


def test_an_absent_folder_is_one_line(tmp_path: Path) -> None:
    done = bench(tmp_path, "--dataset", "gowalla")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "gowalla/interactions.parquet: no such file; skipped" in done.stderr


def test_no_user_left_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASTEFEED_RECTOOLS_PYTHON", raising=False)
    done = tiny.tastefeed_here(
        "bench",
        "retrieval",
        "--data",
        "data",
        "--dataset",
        "deskdrop",
        "--methods",
        "sasrec",
        "--out",
        tmp_path / "out",
    )
    assert done.returncode == 1
    assert "no method is left: sasrec: TASTEFEED_RECTOOLS_PYTHON" in done.stderr
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_setting_of_who_is_not_there_is_refused(tmp_path: Path) -> None:
    options = ("--data", "data", "--dataset", "deskdrop", "--methods", "most_popular", "--set", "bpr.epochs=5")
    done = tiny.tastefeed_here("bench", "retrieval", *options, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "--set bpr: is not in this run of most_popular" in done.stderr


def test_a_folder_that_cannot_be_written_is_named_before_any_training(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    options = ("--data", "data", "--dataset", "deskdrop", "--methods", "most_popular", "--trials", "0")
    done = tiny.tastefeed_here("bench", "retrieval", *options, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path / 'out'}: Not a directory; " in done.stderr


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "out").mkdir(parents=True)
        (tmp_path / folder / "out" / "metrics.json").write_text("{}")
    with pytest.raises(UnreadableInput, match="have one name"):
        write_report([tmp_path / "a" / "out", tmp_path / "b" / "out"], tmp_path / "docs")


def test_half_a_question_is_wrong_usage(tmp_path: Path) -> None:
    done = tiny.tastefeed_here("bench", "retrieval", "--train", tmp_path / "t.parquet", "--out", tmp_path)
    assert done.returncode == 2
    assert "--data and --dataset" in done.stderr
