"""The retrieval benchmark on files of a few interactions, through its command and its functions."""

import json
import math
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from typer.main import get_command

from benchmarks.interaction_matrix import in_order, read_train
from benchmarks.method_registry import METHODS, build
from benchmarks.retrieval_benchmark import RetrievalConfig, read_config
from cli.bench_commands import bench as bench_commands
from contracts.errors import UnreadableInput
from tests import tiny


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """Thirty users who like five even items, thirty who like five odd ones; the last like of each is the test."""
    rows = [(f"u{user}", f"i{2 * ((user + step) % 5) + user % 2}") for user in range(60) for step in (0, 1, 2, 3)]
    pairs = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_columns(row=pl.int_range(240) % 4)
    pairs.filter(pl.col("row") < 3).drop("row").write_parquet(tmp_path / "train.parquet")
    pairs.filter(pl.col("row") == 3).drop("row").write_parquet(tmp_path / "test.parquet")
    return tmp_path


def bench(folder: Path, k: int = 3, *arguments: object):
    return tiny.tastefeed_here(
        "bench",
        "retrieval",
        "--train",
        folder / "train.parquet",
        "--test",
        folder / "test.parquet",
        "--k",
        k,
        "--out",
        folder / "out",
        *arguments,
    )


def test_it_finds_the_block_of_a_user(blocks: Path) -> None:
    done = bench(blocks, 3, "--ordered", "--set", "two_tower.minutes=0.05")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((blocks / "out" / "metrics.json").read_text())
    assert metrics["users"] == 60
    assert set(metrics["chosen"]["selection"]["encoders"]) >= {"ridge", "sequence"}
    assert metrics["recall_at_3"] > 0.6  # 3 of 7 unseen items by chance: 0.43
    top = pl.read_parquet(blocks / "out" / "top_k.parquet")
    assert top.columns == ["user_id", "item_id", "rank", "score"]
    assert top.group_by("user_id").len()["len"].unique().to_list() == [3]


def test_items_of_the_training_rows_are_masked(blocks: Path) -> None:
    assert bench(blocks, 50, "--set", "two_tower.encoder=svd").returncode == 0
    top, train = pl.read_parquet(blocks / "out" / "top_k.parquet"), pl.read_parquet(blocks / "train.parquet")
    assert top.join(train, on=["user_id", "item_id"]).is_empty()
    assert top.group_by("user_id").len()["len"].unique().to_list() == [7]  # k beyond the catalogue: what is left


def test_a_file_s_settings_count_here_too(blocks: Path) -> None:
    (blocks / "bench.toml").write_text("[set.two_tower]\nencoder = 'ease'\n")
    assert bench(blocks, 3, "--config", blocks / "bench.toml").returncode == 0
    assert json.loads((blocks / "out" / "metrics.json").read_text())["chosen"]["encoder"] == "ease"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": ["a", None], "item_id": ["x", "y"]}, "1 rows have no readable user_id"),
        ({"user_id": ["a", "b"], "item_id": ["x", ""]}, "1 rows have no readable item_id"),
        ({"user_id": [1.0, 2.0], "item_id": ["x", "y"]}, "user_id: want text or whole numbers, have Float64"),
        ({"user_id": ["a"], "item_id": ["x"], "timestamp": ["soon"]}, "1 rows have no readable timestamp"),
        ({"user_id": ["a"], "item_id": ["x"], "timestamp": [True]}, "timestamp: want instants or Unix time"),
        ({"user_id": ["a"], "item_id": ["x"], "timestamp": [Decimal(1)]}, "timestamp: want instants or Unix time"),
        ({"user_id": ["a"] * 3, "item_id": ["x"] * 3, "timestamp": [1.0, math.nan, 2.0]}, "1 rows have no readable"),
        ({"user_id": [], "item_id": []}, "no rows"),
        ({"user": ["a"], "item_id": ["x"]}, "lacks user_id"),
    ],
)
def test_unusable_rows_are_refused_in_one_line(tmp_path: Path, columns: dict, message: str) -> None:
    kinds = {name: pl.String for name, values in columns.items() if not values}
    pl.DataFrame(columns, schema_overrides=kinds).write_parquet(tmp_path / "train.parquet")
    pl.DataFrame({"user_id": ["a"], "item_id": ["x"]}).write_parquet(tmp_path / "test.parquet")
    done = bench(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_text("user_id,item_id\n1,2\n")
    done = bench(tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is no whole parquet file" in done.stderr


def test_a_folder_that_cannot_be_written_is_named_before_any_training(blocks: Path) -> None:
    (blocks / "out").write_text("a file")
    done = bench(blocks)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert str(blocks / "out") in done.stderr
    assert "two_tower" not in done.stdout


def test_what_no_list_can_have_right_is_counted(blocks: Path) -> None:
    test = pl.read_parquet(blocks / "test.parquet")
    repeated, strange = pl.read_parquet(blocks / "train.parquet")[:2], {"user_id": ["stranger"], "item_id": ["novelty"]}
    pl.concat([test, repeated, repeated, pl.DataFrame(strange)]).write_parquet(blocks / "test.parquet")
    assert bench(blocks, 3, "--set", "two_tower.encoder=svd").returncode == 0
    metrics = json.loads((blocks / "out" / "metrics.json").read_text())
    assert {name: metrics[name] for name in ("repeated_pairs", "new_users", "new_items")} == {
        "repeated_pairs": 2,
        "new_users": 1,
        "new_items": 1,
    }
    assert metrics["users"] == 61


def test_flags_of_the_other_kind_of_run_are_named(blocks: Path) -> None:
    done = bench(blocks, 3, "--set", "two_tower.encoder=svd", "--methods", "ials", "--trials", "3")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: --methods, --trials is ignored in this kind of run\n")


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_unix_time_of_any_unit_keeps_its_order(tmp_path: Path, unit: int) -> None:
    seconds = [1_600_000_000, 1_500_000_000, 1_700_000_000]
    times = {"timestamp": [second * unit for second in seconds]}
    pl.DataFrame({"user_id": [1, 1, 1], "item_id": [1, 2, 3], **times}).write_parquet(tmp_path / "pairs.parquet")
    pairs = read_train(tmp_path / "pairs.parquet", ordered=False, seed=7)
    assert pairs["timestamp"].dt.epoch("s").to_list() == sorted(seconds)
    assert pairs["item_id"].to_list() == ["2", "1", "3"]
    assert pairs["user_id"].to_list() == ["1"] * 3


SORTED = pl.DataFrame({"user_id": ["a"] * 40, "item_id": [f"{item:02}" for item in range(40)]})


def test_rows_without_a_timestamp_have_no_order_however_the_file_is_sorted() -> None:
    rows = in_order(SORTED, ordered=False, seed=7)
    assert rows.columns == ["user_id", "item_id"]
    assert not rows["item_id"].is_sorted()
    assert rows.equals(in_order(SORTED, ordered=False, seed=7))


def test_rows_that_the_caller_declares_ordered_keep_their_order() -> None:
    rows = in_order(SORTED, ordered=True, seed=7)
    assert rows["item_id"].is_sorted()
    assert rows["timestamp"].is_sorted()


@pytest.mark.parametrize("ordered", [False, True])
def test_equal_timestamps_are_in_random_order_unless_declared_ordered(*, ordered: bool) -> None:
    """Items that a file sorts by id within a day were not clicked in that order."""
    days = SORTED.with_columns(timestamp=pl.int_range(40) // 20 + 1_600_000_000)
    rows = in_order(days.reverse() if ordered else days, ordered=ordered, seed=7)
    early = rows.head(20)["item_id"]
    assert sorted(early) == SORTED.head(20)["item_id"].to_list()
    assert early.is_sorted(descending=True) == ordered
    assert not early.is_sorted()


def test_rows_without_order_are_read_by_an_encoder_that_needs_none(blocks: Path) -> None:
    assert bench(blocks, 3).returncode == 0
    assert json.loads((blocks / "out" / "metrics.json").read_text())["chosen"]["encoder"] in ("svd", "ease", "bag")
    wrong = bench(blocks, 3, "--set", "ials.alpha=1")
    assert wrong.returncode == 1
    assert "with a METHOD of two_tower" in wrong.stderr


def test_a_missing_column_is_named(blocks: Path) -> None:
    pl.DataFrame({"user": ["a"]}).write_parquet(blocks / "train.parquet")
    done = bench(blocks)
    assert done.returncode == 1
    assert "lacks user_id, item_id; have user" in done.stderr


EXAMPLE = Path(__file__).parents[2] / "docs" / "benchmarks" / "ml-1m.toml"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "bench.toml"
    path.write_text('dataset = "gowalla"\ntrials = 3\nmethods = ["ease"]\n[set.ease]\nmost_items = 18\nl2 = 2\n')
    return path


def test_a_file_holds_what_flags_hold(written: Path) -> None:
    config = read_config(written)
    assert config.flags == {"dataset": "gowalla", "trials": 3, "methods": "ease"}
    assert config.settings == ["ease.most_items=18", "ease.l2=2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 3", "bench.toml: trails: Extra inputs are not permitted; the fields are train, test, ordered, k"),
        ("trials = -1", "bench.toml: trials: Input should be greater than or equal to 0"),
        ("trials = ", "bench.toml: cannot be read as TOML"),
        ("set = 3", "bench.toml: set: Input should be a valid dictionary"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(text)
    with pytest.raises(UnreadableInput, match=message):
        read_config(path)


def test_every_flag_has_its_field() -> None:
    flags = {parameter.name for parameter in get_command(bench_commands).commands["retrieval"].params}
    assert flags - {"config", "settings", "help"} == RetrievalConfig.model_fields.keys() - {"set"}


def test_the_example_names_methods_and_settings_that_there_are() -> None:
    config = read_config(EXAMPLE)
    assert set(config.methods) <= METHODS.keys()
    for name, params in config.set.items():
        build(name, params, seed=7, threads=1)


def test_wrong_files_are_reported_in_one_line(tmp_path: Path, written: Path) -> None:
    unsaid = tiny.tastefeed_here("bench", "retrieval", "--config", written, "--data", tmp_path)
    assert unsaid.returncode == 2, "no --out"
    written.write_text("trails = 3")
    wrong = tiny.tastefeed_here("bench", "retrieval", "--config", written)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"tastefeed: {written}: trails: ")
    assert wrong.stderr.count("\n") == 1
