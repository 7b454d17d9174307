"""After the next night nothing derived names who opted out: every file is decoded and searched, and its bytes too."""

import gzip
import hashlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from safetensors import safe_open

from contracts import Settings
from contracts.schemas import DERIVED
from models.two_tower import load as load_tower_folder
from models.two_tower.exported import FORMAT
from models.two_tower.vocabulary import Vocabularies
from pipeline.ingestion import read_items, store_batch
from serving.privacy.consent import excluded_items
from serving.privacy.opt_out_service import OptOutService
from serving.privacy.opt_out_store import OptOutStore
from serving.releases import publish
from serving.releases.loaded_release import Release
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


KEPT_IN_MIND = ("opt_outs.db", "opt_out_backups", ".withheld.json")
"""What holds the opt-outs themselves."""


@pytest.fixture(scope="module")
def forgotten(crossed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Yesterday's night and tonight's, with opt-outs made in between. The erased user had made items, had opted out as
    their creator, and has models of an earlier version that name creators; and posted something that yesterday's night
    was ingesting when the erasure came."""
    lake = tmp_path_factory.mktemp("forgotten") / "lake"
    shutil.copytree(crossed, lake)
    for words in [*lake.rglob("words.json")][::2]:
        name_creators(words)
    assert [path for path in files(lake, "two_tower", "mlartifacts") if names_someone(path, ERASED)]
    pending = OptOutService.of(Settings(lake=str(lake))).events
    pending.add([posted(ERASED), posted(PERSONAL)])
    drained = pending.drain()
    assert drained is not None
    assert tiny.tastefeed_here("opt-out", "set", "creator", ERASED, "recommendation", "--lake", lake).returncode == 0
    for user, flag in ((PERSONAL, "personalization"), (ERASED, "erasure"), (SILENT, "training")):
        assert tiny.tastefeed_here("opt-out", "set", "user", user, flag, "--lake", lake).returncode == 0
    assert tiny.tastefeed_here("opt-out", "set", "item", "item-59", "recommendation", "--lake", lake).returncode == 0
    store_batch("events", pl.DataFrame(drained.rows).drop("landed_at"), lake, datetime.now(UTC))
    pending.mark_ingested(drained.name)
    # whether this night's lists are better depends on the number of threads, and is not the subject
    gates = {"TASTEFEED_GATES__MUST_BEAT": "[]"}
    night = tiny.tastefeed_here("nightly", "--lake", lake, "--as-of", tiny.day(1), "--json", **gates)
    assert night.returncode == 0, night.stdout[-3000:] + night.stderr[-3000:]
    lake.with_suffix(".json").write_text(night.stdout)
    lake.with_suffix(".txt").write_text(night.stderr)
    return lake


def release_of_tonight(forgotten: Path) -> Release:
    """The release that the night after the opt-outs made; one of a later day keeps serving."""
    made = [each for each in publish.list_releases(forgotten / "releases") if each.as_of.date() == tiny.day(1)]
    return publish.load(forgotten / "releases", made[0].version)


def test_a_night_of_an_earlier_day_leaves_the_feed_in_place(forgotten: Path) -> None:
    serving, made = publish.show(forgotten / "releases"), release_of_tonight(forgotten).version
    assert serving.as_of.date() == tiny.day()
    lines = forgotten.with_suffix(".txt").read_text().splitlines()
    assert lines[0].startswith(f"as_of {tiny.day(1)}: ")
    assert lines[-2] == (
        f"release {serving.version} keeps serving {forgotten}/releases: its as_of {tiny.day()} is later than "
        f"{tiny.day(1)}, and --publish was not given"
    )
    assert f"`tastefeed releases rollback {made} --lake {forgotten}`" in lines[-1]
    mlflow = MlflowClient(f"sqlite:///{forgotten}/mlflow.db")
    for model in ("two_tower", "reranker"):
        champion, challenger = (
            mlflow.get_model_version_by_alias(model, alias).version for alias in ("champion", "challenger")
        )
        assert int(champion) < int(challenger), "the champion is what serves"


def posted(user: str) -> dict[str, object]:
    at = datetime(2017, 3, 1, tzinfo=UTC)
    return {"event_id": f"posted-{user}", "user_id": user, "item_id": "item-40", "action": "save", "timestamp": at}


def name_creators(path: Path) -> None:
    """Make a model's words those of an earlier version."""
    words = json.loads(path.read_text()) | {"creators": sorted({"ann", "bob", *tiny.MADE_BY.values()})}
    path.write_text(json.dumps(words))
    manifest = json.loads((path.parent / "manifest.json").read_text())
    digests = manifest["sha256"] | {"words.json": hashlib.sha256(path.read_bytes()).hexdigest()}
    (path.parent / "manifest.json").write_text(json.dumps(manifest | {"format": 1, "sha256": digests}))


def files(lake: Path, *names: str) -> list[Path]:
    below = [path for name in names for path in [lake / name, *(lake / name).rglob("*")]]
    kept = [path for path in below if path.is_file()]
    assert kept
    return kept


def names_someone(path: Path, user: str) -> bool:
    """Whether a file holds an id, compressed, encoded or not."""
    return user in str(path) or user in decoded(path) or user.encode() in path.read_bytes()


def decoded(path: Path) -> str:
    """All text that a file holds."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return f"{table.schema} {table.schema.metadata} {pl.DataFrame(table).write_json()}"
    if path.suffix == ".json":
        return json.dumps(json.loads(path.read_bytes()), ensure_ascii=False)
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()).decode(errors="replace")
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            return f"{file.metadata()} {sorted(file.keys())}"
    if path.read_bytes().startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return "".join(connection.iterdump())
    return path.read_bytes().decode(errors="replace")


def vector_of(lake: Path, user: str) -> bytes:
    release = publish.load(lake / "releases")
    return release.users.vectors[release.user_row[user]].astype(np.float32).tobytes()


def test_the_night_prints_one_json_document(forgotten: Path) -> None:
    printed = json.loads(forgotten.with_suffix(".json").read_text())
    assert printed["as_of"] == str(tiny.day(1))
    assert printed["serving"] == publish.current(forgotten / "releases")
    assert printed["stages"]["release"]["version"]
    assert "person-" not in forgotten.with_suffix(".json").read_text()


@pytest.mark.parametrize("user", [PERSONAL, ERASED])
def test_no_file_names_them_in_any_night_or_release(forgotten: Path, user: str) -> None:
    searched = [path for path in files(forgotten, *GONE_TABLES) if path.name not in KEPT_IN_MIND]
    assert [path for path in searched if names_someone(path, user)] == []


def test_nothing_in_the_whole_lake_names_who_is_erased_but_the_opt_out_itself(forgotten: Path) -> None:
    airflow = Path(os.environ["AIRFLOW_HOME"])  # a night in this process keeps its logs there
    everything = [path for folder in (forgotten, airflow) for path in folder.rglob("*") if path.is_file()]
    naming = {path.as_posix() for path in everything if names_someone(path, ERASED)}
    assert naming
    assert not [path for path in naming if not any(name in path for name in KEPT_IN_MIND)]


def test_nor_does_a_digest_of_the_name(forgotten: Path) -> None:
    """Of no model's creators: knowing the id does not help to find it."""
    models = [path for path in files(forgotten, "two_tower", "champion", "mlartifacts") if path.name == "words.json"]
    assert len(models) > 4
    for path in models:
        creators = Vocabularies.from_json(json.loads(path.read_text())).creators
        assert creators.salt
        assert creators.codes(pl.Series([ERASED, PERSONAL])).tolist() == [0, 0]
        assert creators.codes(pl.Series(["ann", "bob"])).min() > 0
        if json.loads((path.parent / "manifest.json").read_text())["format"] == FORMAT:
            load_tower_folder(path.parent)  # whole


def test_the_items_of_a_creator_who_opted_out_stay_away_after_the_name_is_gone(forgotten: Path) -> None:
    theirs = {f"item-{row:02}" for row, creator in tiny.MADE_BY.items() if creator == ERASED}
    for manifest in publish.list_releases(forgotten / "releases"):
        release = publish.load(forgotten / "releases", manifest.version)
        shown = excluded_items(release, OptOutStore.of(Settings(lake=str(forgotten))).active(None), datetime.now(UTC))
        assert not [item for item in theirs if item in release.item_row and not shown[release.item_row[item]]]
        assert ERASED not in release.catalogue["creator_id"].to_pylist()


def test_importing_the_same_files_again_brings_nothing_back(forgotten: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(forgotten, lake)
    folder = tmp_path / "files"
    folder.mkdir()
    new = tiny.items().tail(1).with_columns(item_id=pl.lit("item-99"), creator_id=pl.lit(ERASED))
    tiny.events().write_parquet(folder / "events.parquet")
    pl.concat([tiny.items(), new]).write_parquet(folder / "items.parquet")
    tiny.users().write_parquet(folder / "users.parquet")
    tiny.items().write_parquet(folder / "same.parquet")
    with_events = ("--events", folder / "events.parquet", "--users", folder / "users.parquet")
    for words in ((*with_events, "--items", folder / "same.parquet"), ("--items", folder / "items.parquet")):
        done = tiny.tastefeed_here("import", *words, "--lake", lake)
        assert done.returncode == 0, done.stderr
        assert "rows or names of users who asked for erasure" in done.stdout
        assert ERASED not in done.stdout
    assert not [path for path in files(lake, "landing") if names_someone(path, ERASED)]
    items = read_items(lake)
    assert items.filter(item_id="item-41")["creator_id"].to_list() == [PERSONAL]
    assert items.filter(item_id="item-99")["creator_id"].to_list() == [None]
    assert "item-99" in OptOutStore.of(Settings(lake=str(lake))).active(None).items


@pytest.mark.parametrize("user", [PERSONAL, ERASED])
def test_their_vectors_are_gone(crossed: Path, forgotten: Path, user: str) -> None:
    vector = vector_of(crossed, user)
    before = files(crossed, "releases")
    assert any(vector in path.read_bytes() for path in before), "the search finds a vector where there is one"
    assert [path for path in files(forgotten, *GONE_TABLES) if vector in path.read_bytes()] == []


def test_the_search_finds_who_is_there(forgotten: Path) -> None:
    one_user = tiny.name(5)
    tables = {
        path.relative_to(forgotten).parts[0] for path in files(forgotten, *GONE_TABLES) if names_someone(path, one_user)
    }
    assert {"events", "sessions", "interactions", "user_features", "retrieval_examples", "releases"} <= tables


def test_erasure_leaves_no_raw_row_and_personalization_keeps_them(forgotten: Path) -> None:
    raw_files = files(forgotten, "landing")
    assert not [path for path in raw_files if names_someone(path, ERASED)]
    assert [path for path in raw_files if names_someone(path, PERSONAL)]


def test_a_user_opted_out_of_training_trains_nothing_and_has_a_vector(forgotten: Path) -> None:
    assert SILENT in release_of_tonight(forgotten).user_row
    partition = f"as_of={tiny.day(1)}"
    labels = pl.read_parquet([str(path) for path in (forgotten / "ranking_examples" / partition).rglob("*.parquet")])
    assert SILENT not in labels["user_id"].to_list()
    examples = pl.read_parquet(
        [str(path) for path in (forgotten / "retrieval_examples" / partition).rglob("*.parquet")]
    )
    assert examples.filter(user_id=SILENT)["trainable"].unique().to_list() == [False]


def test_an_opted_out_item_is_not_in_the_index(forgotten: Path) -> None:
    assert "item-59" not in release_of_tonight(forgotten).item_row
