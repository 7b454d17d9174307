"""Opted-out users leave every partition of every table that holds user ids, and no other row does."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import BadSetting
from contracts.schemas import DERIVED, EXPOSURES
from pipeline.ingestion import items_by_creator, store_batch
from pipeline.ingestion.readers import conform
from pipeline.privacy.opt_out_lake import OptOutLake
from pipeline.run_context import RunContext
from pipeline.stages.forget import USER_TABLES, forget, remove_everywhere, remove_users
from serving.exposure_files import KEY_CHECK, NO_USER, write_file
from serving.privacy.pseudonyms import pseudonyms, pseudonyms_of
from serving.privacy.switch_store import SwitchStore
from serving.releases.publish import discard
from tests.pipeline.handmade_lake import DAY, handmade, recording
from tests.serving.tiny import publish_tiny


@pytest.fixture
def night(tmp_path: Path) -> RunContext:
    return handmade(tmp_path)


def users(night: RunContext, table: str) -> set[str]:
    return set(night.lake.scan(table, DAY).collect()["user_id"])


def test_tables_of_items_hold_no_user() -> None:
    assert set(DERIVED) - set(USER_TABLES) == {"item_features"}


def test_a_users_rows_leave_and_are_counted(night: RunContext) -> None:
    assert remove_users(night, "events", ["u1"]) == 4
    assert users(night, "events") == {"u2", "u3"}
    assert remove_users(night, "events", ["u1"]) == 0, "a second run finds none"


def test_every_day_of_a_table_is_rewritten(night: RunContext) -> None:
    rows = night.lake.scan("user_features", DAY).collect()
    night.lake.overwrite("user_features", DAY - timedelta(days=1), rows)
    assert remove_users(night, "user_features", ["u1"]) == 2
    days = night.lake.partitions("user_features")
    assert [night.lake.scan("user_features", day).collect().height for day in days] == [0, 0]


def test_a_table_without_the_user_is_not_rewritten(night: RunContext) -> None:
    before = night.lake.current("events", DAY)
    assert remove_users(night, "events", ["unknown"]) == 0
    assert night.lake.current("events", DAY) == before


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
def test_what_killed_nights_left_of_any_table_goes_too(night: RunContext) -> None:
    night.opt_outs.create()
    with night.lake.new_folder("two_tower", DAY) as model:
        (model / "words.json").write_text("{}")
    for table in ("events", "two_tower"):
        for day in (DAY, DAY - timedelta(days=1)):  # the second day has no finished partition
            killed = Path(night.lake.partition(table, day)) / "generation=killed"
            killed.mkdir(parents=True)
            (killed / "words.json").write_text("a creator's digest")
    with night.home.scratch() as of_a_backtest:
        (in_use := Path(of_a_backtest.partition("two_tower", DAY)) / "generation=1").mkdir(parents=True)
        forget(night)
        assert in_use.exists()
    for table in ("events", "two_tower"):
        left = [str(path) for path in Path(night.home.root).glob(f"{table}/*/generation=*")]
        assert left == [night.lake.current(table, DAY)]


def test_ids_that_an_earlier_version_kept_with_blanks_are_found(night: RunContext) -> None:
    rows = night.lake.scan("user_features", DAY).collect()
    night.overwrite("user_features", rows.with_columns(pl.lit(" u1 ").alias("user_id")))
    assert remove_users(night, "user_features", ["u1"]) == 1


def test_a_table_that_no_night_wrote_has_no_rows(night: RunContext) -> None:
    assert remove_users(night, "candidates", ["u1"]) == 0


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own
def test_the_exposure_log_loses_the_rows_of_users_who_opted_out(night: RunContext) -> None:
    night.opt_outs.create()
    night.opt_out_service.opt_out("user", "u1", "personalization")
    pseudonym = pseudonyms(night.settings)
    folder = Path(night.home.root) / "exposures" / "date=2017-03-01"
    folder.mkdir(parents=True)
    rows = [{"user": pseudonym(user)} for user in ("u1", "u2", "u1")]
    pq.write_table(pa.Table.from_pylist(rows, EXPOSURES), folder / "a.parquet")
    (killed := folder / ".b.parquet.0123").write_bytes(b"pseudonyms")
    (in_use := folder / ".c.parquet.4567").write_bytes(b"pseudonyms")
    os.utime(killed, (0, 0))
    assert forget(night)["exposure_rows"] == 2
    assert sorted(folder.iterdir()) == [in_use, folder / "a.parquet"], "a file that a killed writer left goes as well"
    assert pq.read_table(folder / "a.parquet")["user"].to_pylist() == [pseudonym("u2")]
    write_file(night.home.url, KEY_CHECK, pseudonyms_of("that of the servers")(NO_USER).encode())
    night.opt_out_service.opt_out("user", "u2", "erasure")
    made = pl.DataFrame({"item_id": ["z"], "creator_id": ["u2"]})
    store_batch("items", conform(made, "items", "F").frame, night.home.url, datetime.now(UTC))
    with pytest.raises(BadSetting, match="exposures was written with another key"):
        forget(night)  # the user's rows could not be found in the log
    assert users(night, "events") == {"u3"}, "the user has left all other tables"
    assert "u2" not in items_by_creator(night.home.url), "and the items have lost the creator's name"


def test_the_pin_names_a_release_at_every_instant_of_an_erasure(
    night: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.opt_outs.create()
    pinned, _ = (publish_tiny(night.releases, tmp_path / "builds", seed=seed).version for seed in range(2))
    SwitchStore(night.opt_outs).set("pinned_release", pinned, by="test")
    exists = []

    def discarded(root: Path, version: str) -> None:
        discard(root, version)
        exists.append((root / str(night.opt_outs.switches().pinned_release)).is_dir())

    monkeypatch.setattr("serving.privacy.release_erasure.discard", discarded)
    recording(night)
    opt_outs = OptOutLake(night.home, night.settings, night.opt_out_service)
    assert remove_everywhere(night, opt_outs, frozenset({"user-2"}), frozenset())["revised_releases"] == 2
    assert exists == [True, True]
    assert night.opt_outs.switches().pinned_release != pinned
