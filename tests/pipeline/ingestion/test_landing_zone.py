import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import polars as pl
import pyarrow.parquet as pq
import pytest

from contracts.errors import UnreadableInput
from pipeline.ingestion import (
    erase_rows,
    ingested_files,
    items_by_creator,
    read_items,
    read_users,
    remove_creator_names,
    store_batch,
)
from pipeline.ingestion.landing_zone import landing_schema, usable_events
from pipeline.ingestion.readers import conform
from pipeline.lake import Lake

MONDAY = datetime(2016, 3, 14, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)


def events(*users: str | None) -> pl.DataFrame:
    rows = pl.DataFrame({"user_id": users}, schema={"user_id": pl.String})
    return conform(
        rows.with_columns(item_id=pl.lit("i"), action=pl.lit("save"), timestamp=pl.lit(10**9)), "events", "F"
    ).frame


def items(**titles: str) -> pl.DataFrame:
    return conform(pl.DataFrame({"item_id": list(titles), "title": list(titles.values())}), "items", "F").frame


def users(**regions: str) -> pl.DataFrame:
    return conform(pl.DataFrame({"user_id": list(regions), "region": list(regions.values())}), "users", "F").frame


def test_a_batch_is_one_zstd_file_with_the_contracts_types(tmp_path: Path) -> None:
    batch = store_batch("events", events("u"), tmp_path, MONDAY)
    assert Path(batch.path).parent == tmp_path / "landing" / "events"
    assert (batch.rows, batch.is_new) == (1, True)
    file = pq.ParquetFile(batch.path)
    assert file.schema_arrow == landing_schema("events")
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert pl.read_parquet(batch.path)["landed_at"].to_list() == [MONDAY]


def test_the_same_events_are_stored_once_and_keep_their_first_instant(tmp_path: Path) -> None:
    first = store_batch("events", events("u"), tmp_path, MONDAY)
    again = store_batch("events", events("u"), tmp_path, TUESDAY)
    other = store_batch("events", events("v"), tmp_path, TUESDAY)
    assert (again.path, again.is_new) == (first.path, False)
    assert ingested_files(tmp_path, "events") == sorted([first.path, other.path])
    assert pl.read_parquet(first.path)["landed_at"].to_list() == [MONDAY]


def test_ids_ingested_before_the_rule_are_read_by_it(tmp_path: Path) -> None:
    store_batch("items", items(**{" a ": "old", "b\0": "no id", "c" * 513: "no id", "d": "kept"}), tmp_path, MONDAY)
    store_batch("items", items(a="new"), tmp_path, TUESDAY)
    assert read_items(tmp_path).select("item_id", "title").rows() == [("a", "new"), ("d", "kept")]


def test_the_batch_ingested_last_wins(tmp_path: Path) -> None:
    store_batch("items", items(a="old", b="kept"), tmp_path, MONDAY)
    store_batch("items", items(a="new"), tmp_path, TUESDAY)
    assert read_items(tmp_path).select("item_id", "title").rows() == [("a", "new"), ("b", "kept")]
    store_batch("items", items(a="old", b="kept"), tmp_path, TUESDAY + timedelta(days=1))
    assert read_items(tmp_path)["title"].to_list() == ["old", "kept"]
    assert len(ingested_files(tmp_path, "items")) == 2


def test_in_one_batch_the_last_row_counts_and_rows_without_id_do_not(tmp_path: Path) -> None:
    store_batch("items", pl.concat([items(a="first"), items(a="second"), items(**{"": "nameless"})]), tmp_path, MONDAY)
    assert read_items(tmp_path)["title"].to_list() == ["second"]


def test_of_batches_of_the_same_instant_the_one_with_the_last_name_counts(tmp_path: Path) -> None:
    batches = [store_batch("items", items(a=title), tmp_path, MONDAY) for title in ("one", "two", "three")]
    last = max(batches, key=lambda batch: batch.path)
    assert read_items(tmp_path)["title"].to_list() == pl.read_parquet(last.path)["title"].to_list()


def test_a_batch_whose_rows_are_all_replaced_is_read_for_its_keys_alone(tmp_path: Path) -> None:
    replaced = store_batch("items", items(a="old", b="old"), tmp_path, MONDAY)
    store_batch("items", items(b="new", c="new"), tmp_path, TUESDAY)
    store_batch("items", items(a="new"), tmp_path, TUESDAY)
    pl.read_parquet(replaced.path).select("item_id", "landed_at").write_parquet(replaced.path)
    assert read_items(tmp_path).select("item_id", "title").rows() == [("a", "new"), ("b", "new"), ("c", "new")]


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more"])
def test_a_file_of_an_interrupted_copy_is_named(tmp_path: Path, content: bytes) -> None:
    batches = store_batch("events", events("u"), tmp_path, MONDAY), store_batch("items", items(i="I"), tmp_path, MONDAY)
    for batch in batches:
        Path(batch.path).write_bytes(content)
    for read, path in (
        (lambda: usable_events(Lake(tmp_path)), batches[0].path),
        (lambda: read_items(tmp_path), batches[1].path),
    ):
        with pytest.raises(UnreadableInput, match=f"{path}: is no whole parquet file; copy the lake again"):
            read()


def test_users_and_an_empty_lake(tmp_path: Path) -> None:
    assert read_users(tmp_path).is_empty()
    assert read_items(tmp_path).columns == landing_schema("items").names[:-1]
    store_batch("users", users(u="SP"), tmp_path, MONDAY)
    assert read_users(tmp_path).rows() == [("u", None, "SP", None)]


def test_a_killed_writers_leftover_is_never_read(tmp_path: Path) -> None:
    batch = store_batch("items", items(a="whole"), tmp_path, MONDAY)
    (Path(batch.path).parent / ".0123.half").write_bytes(Path(batch.path).read_bytes()[:99])
    (Path(batch.path).parent / ".0123.parquet").write_bytes(b"PAR1")
    assert ingested_files(tmp_path, "items") == [batch.path]
    assert read_items(tmp_path)["title"].to_list() == ["whole"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = store_batch("items", items(a="whole"), tmp_path, MONDAY)
    before = Path(batch.path).read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        store_batch("items", items(a="whole"), tmp_path, TUESDAY)
    assert Path(batch.path).read_bytes() == before
    assert ingested_files(tmp_path, "items") == [batch.path]


LANDING_FOREVER = """
import sys
from datetime import datetime, UTC
import polars as pl
from pipeline.ingestion import store_batch
from pipeline.ingestion.readers import conform
from pipeline.lake import Lake
frame = conform(pl.DataFrame({"item_id": [str(n) for n in range(20_000)]}), "items", "F").frame
while True:
    store_batch("items", frame, sys.argv[1], datetime.now(UTC))
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.013])
def test_a_writer_killed_at_any_moment_leaves_whole_files(tmp_path: Path, delay_s: float) -> None:
    writer = subprocess.Popen([sys.executable, "-c", LANDING_FOREVER, str(tmp_path)])
    try:
        while not ingested_files(tmp_path, "items") and writer.poll() is None:
            time.sleep(0.005)
        time.sleep(delay_s)
    finally:
        writer.kill()
        writer.wait()
    assert writer.returncode == -signal.SIGKILL
    assert len(read_items(tmp_path)) == 20_000


def bytes_of(lake: Path) -> bytes:
    """Everything that lies in the lake, as it is and decoded."""
    files = [path for path in lake.rglob("*") if path.is_file()]
    whole = (path.read_bytes() for path in files)
    decoded = (pl.read_parquet(path).write_json().encode() for path in files if path.suffix == ".parquet")
    return b"".join([*whole, *decoded])


def test_erased_users_leave_every_byte(tmp_path: Path) -> None:
    store_batch("events", events("secret-ann", "bob", "secret-ann", None), tmp_path, MONDAY)
    store_batch("events", events("bob"), tmp_path, MONDAY)
    store_batch("users", users(**{"secret-ann": "SP", "bob": "MG"}), tmp_path, MONDAY)
    assert b"secret-ann" in bytes_of(tmp_path)
    assert erase_rows(tmp_path, ["secret-ann", "unknown"]) == {"events": 2, "users": 1}
    assert b"secret-ann" not in bytes_of(tmp_path)
    left = pl.concat(pl.read_parquet(path) for path in ingested_files(tmp_path, "events"))
    assert sorted(left["user_id"].to_list(), key=str) == [None, "bob", "bob"]
    assert erase_rows(tmp_path, ["secret-ann"]) == {"events": 0, "users": 0}


def test_importing_again_does_not_restore_an_erased_user(tmp_path: Path) -> None:
    store_batch("events", events("secret-ann"), tmp_path, MONDAY)
    erase_rows(tmp_path, ["secret-ann"])
    assert store_batch("events", events("secret-ann"), tmp_path, TUESDAY).is_new is False
    assert b"secret-ann" not in bytes_of(tmp_path)


def test_an_id_whose_blanks_were_kept_is_erased_too(tmp_path: Path) -> None:
    padded = events("secret-ann", "bob").with_columns(user_id=pl.format(" {}\u3000", "user_id"))
    store_batch("events", padded, tmp_path, MONDAY)
    assert erase_rows(tmp_path, ["secret-ann"])["events"] == 1
    assert b"secret-ann" not in bytes_of(tmp_path)


def made(**creators: str | None) -> pl.DataFrame:
    rows = pl.DataFrame({"item_id": list(creators), "creator_id": list(creators.values())})
    return conform(rows, "items", "F").frame


def test_a_creator_leaves_the_ingested_items_and_comes_back_with_no_import(tmp_path: Path) -> None:
    table = made(a="secret-ann", b="bob", d=None)
    store_batch("items", table, tmp_path, MONDAY)
    store_batch("items", made(a="secret-ann", e="bob"), tmp_path, TUESDAY)
    assert items_by_creator(tmp_path) == {"secret-ann": {"a"}, "bob": {"b", "e"}}
    assert remove_creator_names(tmp_path, ["secret-ann", "unknown"]) == 2
    for frame in (table, made(f="secret-ann", g="bob")):
        batch = store_batch("items", frame, tmp_path, TUESDAY + timedelta(days=1), {"secret-ann"})
        assert batch.erased == 1
    assert b"secret-ann" not in bytes_of(tmp_path)
    wanted = {"a": None, "b": "bob", "d": None, "e": "bob", "f": None, "g": "bob"}
    assert dict(read_items(tmp_path).select("item_id", "creator_id").iter_rows()) == wanted


@pytest.mark.parametrize("table", ["events", "users"])
def test_an_import_leaves_erased_users_out(tmp_path: Path, table: str) -> None:
    frame = {"events": events("secret-ann", "bob"), "users": users(**{"secret-ann": "SP", "bob": "MG"})}[table]
    store_batch(table, frame, tmp_path, MONDAY)
    erase_rows(tmp_path, ["secret-ann"])
    again = store_batch(table, frame, tmp_path, TUESDAY, {"secret-ann"})
    assert (again.rows, again.is_new, again.erased) == (1, False, 1)
    more = store_batch(table, frame.reverse(), tmp_path, TUESDAY, {"secret-ann"})
    assert (more.rows, more.is_new) == (1, True)
    assert b"secret-ann" not in bytes_of(tmp_path)


def test_erasing_sweeps_old_leftovers_and_spares_a_living_writer(tmp_path: Path) -> None:
    folder = Path(store_batch("events", events("bob"), tmp_path, MONDAY).path).parent
    old, living = folder / ".dead", folder / ".living"
    old.write_text("secret-ann")
    living.write_text("bob")
    os.utime(old, (0, 0))
    erase_rows(tmp_path, ["secret-ann"])
    assert (old.exists(), living.exists()) == (False, True)


def test_an_object_store_works_as_well() -> None:
    lake = "memory://tastefeed-landing-test"
    try:
        store_batch("users", users(u="SP", v="MG"), lake, MONDAY)
        assert erase_rows(lake, ["u"]) == {"events": 0, "users": 1}
        assert read_users(lake)["user_id"].to_list() == ["v"]
    finally:
        fsspec.filesystem("memory").rm("/tastefeed-landing-test", recursive=True)
