"""The door through which anyone can hold us against a peer."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests import tiny


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """Thirty people who like five even items, thirty who like five odd ones; the last like of each is the test."""
    rows = [
        (f"u{person}", f"i{2 * ((person + step) % 5) + person % 2}") for person in range(60) for step in (0, 1, 2, 3)
    ]
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


def test_it_finds_the_block_that_a_person_is_of(blocks: Path) -> None:
    done = bench(blocks)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((blocks / "out" / "metrics.json").read_text())
    assert metrics["users"] == 60
    assert metrics["chosen"]["readout"] in ("space", "ridge", "attention")
    assert metrics["recall_at_3"] > 0.6  # 3 of 7 unseen items by chance: 0.43
    top = pl.read_parquet(blocks / "out" / "top_k.parquet")
    assert top.columns == ["user_id", "item_id", "rank", "score"]
    assert top.group_by("user_id").len()["len"].unique().to_list() == [3]


def test_items_of_the_training_rows_are_masked(blocks: Path) -> None:
    assert bench(blocks, k=50).returncode == 0
    top, train = pl.read_parquet(blocks / "out" / "top_k.parquet"), pl.read_parquet(blocks / "train.parquet")
    assert top.join(train, on=["user_id", "item_id"]).is_empty()
    assert top.group_by("user_id").len()["len"].unique().to_list() == [7]  # k beyond the catalogue: what is left


def test_who_knows_that_the_order_means_nothing_can_say_so(blocks: Path) -> None:
    assert bench(blocks, 3, "--set", "two_tower.ordered=false").returncode == 0
    assert json.loads((blocks / "out" / "metrics.json").read_text())["chosen"]["readout"] in ("space", "ease", "bag")
    wrong = bench(blocks, 3, "--set", "ials.alpha=1")
    assert wrong.returncode == 1
    assert "with a METHOD of two_tower" in wrong.stderr


def test_a_missing_column_is_named(blocks: Path) -> None:
    pl.DataFrame({"user": ["a"]}).write_parquet(blocks / "train.parquet")
    done = bench(blocks)
    assert done.returncode == 1
    assert "lacks user_id, item_id; have user" in done.stderr
