"""The base of the SQL stores: instants, batches, and errors without values or passwords."""

import sqlite3
import stat
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from contracts.errors import EventStoreUnavailable
from serving.stores.sql_instants import Instant, as_utc
from serving.stores.sql_store import (
    SqlStore,
    batched,
    cause,
    create_tables,
    open_engine,
    without_password,
)

METADATA = MetaData()
VISITS = Table("visits", METADATA, Column("user_id", String, primary_key=True), Column("at", Instant))
TOKYO = timezone(timedelta(hours=9))


class Visits(SqlStore):
    metadata = METADATA
    name = "the store of visits"
    unavailable = EventStoreUnavailable
    remedy = "check the file"
    setting = "TASTEFEED_VISITS"
    label = "visits"

    def add(self, user_id: str, at: datetime) -> None:
        with self._transaction(writes=True) as connection:
            connection.execute(insert(VISITS).values(user_id=user_id, at=at))

    def instants(self) -> list[datetime]:
        with self._transaction() as connection:
            return list(connection.scalars(select(VISITS.c.at)))


@pytest.fixture
def store(tmp_path):
    store = Visits(f"sqlite:///{tmp_path}/lake/visits.db")
    yield store
    store.close()


@pytest.mark.parametrize("written", [
    datetime(2017, 3, 1, 12, 0, 0, 123456, tzinfo=UTC),
    datetime(2017, 3, 1, 21, 0, 0, 123456, tzinfo=TOKYO),
    datetime(2017, 3, 1, 12, 0, 0, 123456),  # noqa: DTZ001  without a zone it is UTC
])  # fmt: skip
def test_an_instant_is_exact_to_the_microsecond(store, written):
    store.add("ann", written)
    assert store.instants() == [datetime(2017, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)]
    assert as_utc(written) == store.instants()[0]


def test_instants_before_1970_are_stored_too(store):
    store.add("ann", datetime(1969, 12, 31, tzinfo=UTC))
    assert store.instants() == [datetime(1969, 12, 31, tzinfo=UTC)]


def test_values_come_in_runs_of_a_size():
    assert [list(some) for some in batched([1, 2, 3, 4, 5], 2)] == [[1, 2], [3, 4], [5]]
    assert list(batched([], 2)) == []


def test_the_file_is_created_at_the_first_query(tmp_path):
    store = Visits(f"sqlite:///{tmp_path}/lake/visits.db")
    assert not (tmp_path / "lake").exists()
    assert store.instants() == []
    assert (tmp_path / "lake" / "visits.db").exists()
    store.close()


def test_without_create_a_missing_file_is_an_error(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/none.db", create=False)
    with pytest.raises(OperationalError, match="unable to open database file"):
        engine.connect()
    assert not (tmp_path / "none.db").exists()


def test_tables_may_be_created_twice(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/visits.db")
    create_tables(engine, METADATA)
    create_tables(engine, METADATA)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_no_error_contains_a_value(store):
    store.add("zq-1", datetime.now(UTC))
    with pytest.raises(EventStoreUnavailable, match=r"the store of visits .* cannot be used .*check the file") as error:
        store.add("zq-1", datetime.now(UTC))
    assert "zq-1" not in str(error.value)


def test_only_errors_of_the_connection_are_quoted():
    quoted = OperationalError("SELECT 1", {}, sqlite3.OperationalError("database\n is locked"))
    assert cause(quoted) == "database is locked"
    assert cause(IntegrityError("INSERT", {}, ValueError("ann is there already"))) == "ValueError"


def test_a_url_is_shown_without_its_password():
    assert without_password("postgresql+psycopg://me:secret@db/x") == "postgresql+psycopg://me:***@db/x"


def test_only_the_owner_may_read_a_store(tmp_path):
    path = tmp_path / "lake" / "visits.db"
    Visits(f"sqlite:///{path}").add("u1", datetime(2017, 3, 1, tzinfo=UTC))
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("writer_is_open", [True, False])
def test_a_read_only_file_has_every_committed_row(store, tmp_path, monkeypatch, writer_is_open):
    at = datetime(2017, 3, 1, tzinfo=UTC)
    store.add("ann", at)
    path = tmp_path / "lake" / "visits.db"
    if writer_is_open:  # its rows are in a file beside the database
        writer = sqlite3.connect(path)
        writer.execute("INSERT INTO visits SELECT 'bob', at FROM visits")
        writer.commit()
        assert path.with_name("visits.db-wal").stat().st_size > 0
    monkeypatch.setattr("serving.stores.sql_store.is_read_only", lambda _url: True)
    reader = Visits(f"sqlite:///{path}")
    assert len(reader.instants()) == 1 + writer_is_open
    with pytest.raises(
        EventStoreUnavailable, match=r"visits.db is read-only; let this user write .* with TASTEFEED_VISITS"
    ):
        reader.add("cid", at)
    if writer_is_open:
        writer.close()


def test_a_locked_store_is_asked_once_a_second(tmp_path):
    url = f"sqlite:///{tmp_path}/visits.db"
    Visits(url).add("u1", datetime(2017, 3, 1, tzinfo=UTC))
    store = Visits(url, wait_s=0.1)
    with closing(sqlite3.connect(tmp_path / "visits.db", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EventStoreUnavailable, match=r"database is locked\); wait for the program that uses it, or"):
            store.instants()
        for _ in range(3):
            with pytest.raises(EventStoreUnavailable, match="did not answer in time, and is asked again within 1 s"):
                store.instants()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            assert len(store.instants()) == 1
            break
        except EventStoreUnavailable:
            time.sleep(0.05)
    assert len(store.instants()) == 1


def test_a_store_that_fails_at_once_is_asked_each_time(tmp_path):
    store = Visits(f"sqlite:///{tmp_path}/visits.db", wait_s=1)
    store.add("u1", datetime(2017, 3, 1, tzinfo=UTC))
    content = (tmp_path / "visits.db").read_bytes()
    (tmp_path / "visits.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(EventStoreUnavailable, match="not a database"):
        store.instants()
    (tmp_path / "visits.db").write_bytes(content)
    assert len(store.instants()) == 1


def test_kept_connections_answer_for_the_file_at_the_path(tmp_path):
    """Also for one that was replaced, overwritten or lost since the last query."""
    path, at = tmp_path / "visits.db", datetime(2017, 3, 1, tzinfo=UTC)
    empty, store = Visits(f"sqlite:///{tmp_path}/empty.db"), Visits(f"sqlite:///{path}", wait_s=1)
    assert empty.instants() == []
    store.add("ann", at)
    assert store.instants() == [at]
    content = path.read_bytes()
    assert b"ann" in content, "a copy is complete while the server runs"
    path.write_bytes((tmp_path / "empty.db").read_bytes())
    assert store.instants() == []
    (tmp_path / "other.db").write_bytes(content)
    (tmp_path / "other.db").rename(path)
    assert store.instants() == [at]
    for file in tmp_path.glob("visits.db*"):
        file.unlink()
    with pytest.raises(EventStoreUnavailable, match="no such table"):
        store.instants()
    store.close()


def test_reads_take_a_part_of_the_time_of_a_new_connection(tmp_path):
    url = f"sqlite:///{tmp_path}/visits.db"
    seconds = {}
    for wait_s in (None, 1.0):  # a command, a server
        store = Visits(url, wait_s=wait_s)
        store.instants()
        times = []
        for _ in range(20):
            started = time.process_time()
            store.instants()
            times.append(time.process_time() - started)
        seconds[wait_s] = min(times)
        store.close()
    assert seconds[1.0] < seconds[None] / 1.5


def test_an_idle_server_has_no_file_open(tmp_path):
    store = Visits(f"sqlite:///{tmp_path}/visits.db", wait_s=1)
    store.instants()
    with closing(sqlite3.connect(tmp_path / "visits.db", timeout=10, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
