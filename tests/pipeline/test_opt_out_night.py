"""After the next night nothing derived names who opted out: every file is decoded and searched, and its bytes too."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastefeed.contracts.schemas import DERIVED
from tastefeed.serving import publish
from tests import tiny

PERSONAL, ERASED, SILENT = tiny.name(3), tiny.name(8), tiny.name(12)
GONE_TABLES = (
    *DERIVED,
    "two_tower",
    "reranker",
    "champion",
    "metrics",
    "nights",
    "releases",
    "mlartifacts",
    "mlflow.db",
)


@pytest.fixture(scope="module")
def forgotten(crossed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Yesterday's night and tonight's, with opt-outs said in between."""
    lake = tmp_path_factory.mktemp("forgotten") / "lake"
    shutil.copytree(crossed, lake)
    for user, flag in ((PERSONAL, "personalization"), (ERASED, "erasure"), (SILENT, "training")):
        assert tiny.tastefeed_here("opt-out", "set", "user", user, flag, "--lake", lake).returncode == 0
    assert tiny.tastefeed_here("opt-out", "set", "item", "item-59", "recommendation", "--lake", lake).returncode == 0
    night = tiny.tastefeed("nightly", "--lake", lake, "--as-of", tiny.day(1))
    assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
    return lake


def files(lake: Path, *names: str) -> list[Path]:
    below = [path for name in names for path in [lake / name, *(lake / name).rglob("*")]]
    found = [path for path in below if path.is_file()]
    assert found
    return found


def names_someone(path: Path, user: str) -> bool:
    """Whether a file holds an id, compressed or not."""
    if path.suffix == ".parquet":
        return user in pl.read_parquet(path).write_json()
    return user.encode() in path.read_bytes()


def vector_of(lake: Path, user: str) -> bytes:
    release = publish.load(lake / "releases")
    return release.users.vectors[release.user_row[user]].astype(np.float32).tobytes()


@pytest.mark.parametrize("user", [PERSONAL, ERASED])
def test_no_file_names_them_in_any_night_or_release(forgotten: Path, user: str) -> None:
    assert [path for path in files(forgotten, *GONE_TABLES) if names_someone(path, user)] == []


@pytest.mark.parametrize("user", [PERSONAL, ERASED])
def test_their_vectors_are_gone(crossed: Path, forgotten: Path, user: str) -> None:
    vector = vector_of(crossed, user)
    before = files(crossed, "releases")
    assert any(vector in path.read_bytes() for path in before), "the search finds a vector where there is one"
    assert [path for path in files(forgotten, *GONE_TABLES) if vector in path.read_bytes()] == []


def test_the_search_finds_who_is_there(forgotten: Path) -> None:
    somebody = tiny.name(5)
    tables = {
        path.relative_to(forgotten).parts[0] for path in files(forgotten, *GONE_TABLES) if names_someone(path, somebody)
    }
    assert {"events", "sessions", "interactions", "user_features", "retrieval_examples", "releases"} <= tables


def test_erasure_leaves_no_landed_row_and_personalization_keeps_them_landed(forgotten: Path) -> None:
    landed = files(forgotten, "landing")
    assert not [path for path in landed if names_someone(path, ERASED)]
    assert [path for path in landed if names_someone(path, PERSONAL)]


def test_who_opted_out_of_training_teaches_nothing_and_has_a_vector(forgotten: Path) -> None:
    release = publish.load(forgotten / "releases")
    assert SILENT in release.user_row
    partition = f"as_of={tiny.day(1)}"
    labels = pl.read_parquet([str(path) for path in (forgotten / "ranking_examples" / partition).rglob("*.parquet")])
    assert SILENT not in labels["user_id"].to_list()
    taught = pl.read_parquet([str(path) for path in (forgotten / "retrieval_examples" / partition).rglob("*.parquet")])
    assert taught.filter(user_id=SILENT)["trainable"].unique().to_list() == [False]


def test_an_opted_out_item_is_not_in_the_index(forgotten: Path) -> None:
    assert "item-59" not in publish.load(forgotten / "releases").item_row
