"""The stores on PostgreSQL, where one is installed: a cluster of its own on a socket, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import Connection, create_engine, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from contracts import Flag, OptOut, SubjectType
from contracts.errors import EventStoreUnavailable, OptOutStoreUnavailable
from contracts.opt_out_flags import UNREADABLE
from contracts.switches import NO_SWITCHES
from serving.privacy.admin_audit import AdminAudit
from serving.privacy.marker_files import MarkerFiles
from serving.privacy.opt_out_recovery import replace_store
from serving.privacy.opt_out_service import OptOutService
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.switch_store import SwitchStore
from serving.stores.event_store import EventStore
from tests.serving.privacy.test_erasure_race import race

pytest.importorskip("psycopg")
BINARIES = [shutil.which("initdb"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
INITDB = next((binary for binary in BINARIES if binary), None)
if INITDB is None:
    pytest.skip("no PostgreSQL here: `apt-get install postgresql` to run these", allow_module_level=True)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    as_owner: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        shutil.chown(folder, "postgres")
        as_owner = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *words: str) -> None:
        command = [*as_owner, str(Path(INITDB).parent / program), "-D", str(folder / "data"), *words]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)

    try:
        run("initdb", "-A", "trust", "-U", "tastefeed", "--no-sync")
        run(
            "pg_ctl", "-w", "-o", f"-k {folder} -c listen_addresses='' -c fsync=off", "-l", str(folder / "log"), "start"
        )
        yield f"postgresql+psycopg://tastefeed@/postgres?host={folder}"
        run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def opened(url, tmp_path_factory):
    stores = OptOutStore(url, beside=[tmp_path_factory.mktemp("beside")]), EventStore(url)
    stores[0].create()
    yield stores
    for store in stores:
        store.close()


def test_postgresql_stores_opt_outs(opened):
    store, now = opened[0], datetime.now(UTC)
    store.set("user", "ann", "personalization")
    store.set("user", "ann", "personalization")
    store.set("creator", "c1", "recommendation")
    assert store.active("ann").flags == {Flag.PERSONALIZATION}
    assert store.active("ann").creators == {"c1"}
    store.clear("user", "ann", "personalization")
    assert [word.opted_out for word in store.show("user", "ann")] == [False]
    words = [OptOut(SubjectType.USER, "bob", Flag.ERASURE, True, now - timedelta(hours=hour)) for hour in (1, 2, 2)]
    assert store.load(words) == 3
    assert store.subjects(SubjectType.USER, [Flag.ERASURE]) == {"bob"}


def test_postgresql_stores_pending_events(opened):
    pending = opened[1]
    row = {"user_id": "ann", "item_id": "i1", "action": "save", "timestamp": datetime(2017, 3, 1, tzinfo=UTC)}
    assert pending.add([row, {**row, "item_id": "i2"}]).new == 2
    assert pending.add([row]).new == 0
    assert sorted(interaction.item_id for interaction in pending.recent_interactions(["ann"])["ann"]) == ["i1", "i2"]
    assert pending.waiting_per_day() == {date(2017, 3, 1): 2}
    assert pending.waiting_likes() == [("ann", datetime(2017, 3, 1, tzinfo=UTC))]
    batch = pending.drain()
    pending.mark_ingested(batch.name)
    assert not pending.waiting_per_day()
    assert pending.waiting_likes() == []
    assert pending.delete_before(datetime(2017, 3, 2, tzinfo=UTC)) == 2
    assert pending.erase(["ann"]) == 0


def run_sql(url: str, *statements: str) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def own(url):
    """The URL of a database that nothing was ever written to."""
    name = f"own_{uuid4().hex}"
    run_sql(url, f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def opt_outs_at(tmp_path):
    """Opt-out stores whose connections are given back at the end."""
    with ExitStack() as stores:
        yield lambda url: stores.enter_context(closing(OptOutStore(url, beside=[tmp_path])))


@pytest.mark.parametrize("loss", [
    ["DROP TABLE opt_outs, opt_out_store"], ["DROP TABLE opt_outs"], ["TRUNCATE opt_outs"], ["TRUNCATE opt_out_store"],
    ["DELETE FROM opt_outs WHERE subject_id = 'ann'", "UPDATE opt_out_store SET words = 1, held = 1"],
])  # fmt: skip
def test_a_lost_store_is_refused_and_restored(own, opt_outs_at, loss):
    store = opt_outs_at(own)
    with pytest.raises(OptOutStoreUnavailable, match="tastefeed init"):
        store.flags(SubjectType.USER, "ann")
    assert store.create()
    assert not store.create()
    store.set("user", "bob", "erasure")
    store.set("user", "ann", "personalization")
    records = store.snapshot().records
    run_sql(own, *loss)
    for each in (opt_outs_at(own), store):
        for ask in (lambda store: store.active("ann"), lambda store: store.create()):
            with pytest.raises(OptOutStoreUnavailable, match="tastefeed opt-out restore"):
                ask(each)
    store.adopt(replace_store(own, records))
    assert opt_outs_at(own).flags(SubjectType.USER, "ann") == {Flag.PERSONALIZATION}
    assert store.flags(SubjectType.USER, "bob") == {Flag.ERASURE}


def test_a_missing_row_is_noticed_by_a_fresh_process(own, opt_outs_at):
    store = opt_outs_at(own)
    store.create()
    store.set("user", "bob", "erasure")
    store.set("user", "ann", "personalization")
    run_sql(own, "DELETE FROM opt_outs WHERE subject_id = 'ann'")
    with pytest.raises(OptOutStoreUnavailable, match=r"lacks rows \(it had 2\)"):
        opt_outs_at(own).active("ann")


def test_another_database_is_refused(own, url, opened, opt_outs_at):
    opt_outs_at(own).create()
    with pytest.raises(OptOutStoreUnavailable, match="is another store than the one this lake had"):
        opt_outs_at(url).active("ann")


def test_writers_take_turns_and_the_marker_keeps_up(own, opt_outs_at, tmp_path):
    opt_outs_at(own).create()

    def write(who: int) -> None:
        store = opt_outs_at(own)
        for number in range(15):
            store.set("user", f"user-{number}", "training")
            store.load([OptOut(SubjectType.USER, f"{who}-{number}", Flag.TRAINING, True, datetime.now(UTC))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    identity = opt_outs_at(own).check()
    assert (identity.changes, identity.expected_rows, identity.rows) == (120, 75, 75)
    assert identity.marker == MarkerFiles([tmp_path]).read()


def test_switches_and_the_audit_in_a_store_of_an_earlier_version(own, opt_outs_at):
    reader = opt_outs_at(own)
    reader.create()
    run_sql(own, "DROP TABLE switches, admin_audit")
    assert reader.switches() == NO_SWITCHES

    def write(name: str) -> None:
        switches = SwitchStore(opt_outs_at(own))
        for _ in range(5):
            switches.set(name, None, by="test")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, ["fresh", "fresh", "popular", "popular"]))
    assert reader.switches().sources_off == {"fresh", "popular"}
    numbers = [entry.number for entry in AdminAudit(reader, str).newest(100)]
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) == 20


def test_no_posted_row_outlives_an_erasure(own, opt_outs_at):
    opt_outs_at(own).create()
    with closing(EventStore(own)) as pending:
        race(OptOutService(opt_outs_at(own), pending))


def test_a_locked_table_is_waited_for_no_longer_than_a_request_may(url, opened):
    opened[1].rows()
    other_program = create_engine(url, poolclass=NullPool)
    with closing(EventStore(url, wait_s=0.25)) as store, other_program.connect() as other, other.begin():
        assert store.recent_interactions(["ann"]) is not None
        other.execute(text("LOCK TABLE pending_events IN ACCESS EXCLUSIVE MODE"))
        started = time.monotonic()
        with pytest.raises(EventStoreUnavailable, match=r"canceling statement|lock timeout"):
            store.recent_interactions(["ann"])
        with pytest.raises(EventStoreUnavailable, match="is asked again"):
            store.recent_interactions(["ann"])
        assert time.monotonic() - started < 5
        with pytest.raises(EventStoreUnavailable, match=r"canceling statement|lock timeout"):
            store.add([{"user_id": "zoe", "item_id": "i1", "action": "save", "timestamp": datetime.now(UTC)}])


def test_a_slow_count_or_bulk_read_does_not_keep_feeds_from_the_store(own, monkeypatch):
    with closing(EventStore(own, wait_s=0.25)) as store:
        store.add([{"user_id": "ann", "item_id": "i1", "action": "save", "timestamp": datetime.now(UTC)}])
        monkeypatch.setattr("serving.stores.event_store.func", SimpleNamespace(count=lambda: func.pg_sleep(5)))
        for refused in ("canceling statement due to statement timeout", "is asked again"):
            with pytest.raises(EventStoreUnavailable, match=refused):
                store.waiting()
        assert store.recent_interactions(["ann"]).keys() == store.recent_interactions(["ann", "bob"]).keys() == {"ann"}
        monkeypatch.setattr("serving.recent_interactions.INTERACTIONS_OF_USERS", select(func.pg_sleep(5)))
        for refused in ("canceling statement due to statement timeout", "is asked again"):
            with pytest.raises(EventStoreUnavailable, match=refused):
                store.recent_interactions(["ann", "bob"])
        assert store.recent_interactions(["ann"]).keys() == {"ann"}


def test_a_slow_check_of_many_opt_outs_keeps_no_other_opt_out_from_feeds_and_writers(
    own, opt_outs_at, tmp_path, monkeypatch
):
    opt_outs_at(own).create()
    slow, other = (OptOutStore(own, beside=[tmp_path], wait_s=0.25) for _ in range(2))
    with closing(slow), closing(other):
        assert slow.active("ann").items == frozenset()
        other.set("item", "i1", "recommendation")
        monkeypatch.setattr(
            "serving.privacy.opt_out_store.opted_out_among",
            lambda connection, *_: connection.scalar(select(func.pg_sleep(5))),
        )
        for refused in ("canceling statement due to statement timeout", "is asked again"):
            with pytest.raises(OptOutStoreUnavailable, match=refused):
                slow.among(SubjectType.USER, ["ann"], UNREADABLE)
        assert slow.active("ann").items == {"i1"}
        slow.set("item", "i2", "recommendation")


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """The server does not answer; its sockets accept what clients send, as those of an unreachable host."""
    folder = Path(url.rpartition("=")[2])
    server = psutil.Process(int((folder / "data" / "postmaster.pid").read_text().split()[0]))
    processes = [server, *server.children()]
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a worker of PostgreSQL may end by itself
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def test_a_silent_server_is_waited_for_twice_as_long_as_a_slow_one(url, opened):
    with closing(EventStore(url, wait_s=0.25)) as store:
        store.recent_interactions(["ann"])
        started = time.monotonic()
        with stopped(url):
            with pytest.raises(EventStoreUnavailable, match=r"did not answer within 0.5 s"):
                store.recent_interactions(["ann"])
            with pytest.raises(EventStoreUnavailable, match="is asked again"):
                store.recent_interactions(["ann"])
        assert 0.5 <= time.monotonic() - started < 1.5
        with store._opened().connect() as connection:
            connection.execute(text("SELECT 1"))
            with stopped(url), pytest.raises(OperationalError, match="did not answer within"):
                connection.execute(text("SELECT 1"))
        time.sleep(max(0, started + 1.6 - time.monotonic()))  # until the store is asked again
        assert store.recent_interactions(["ann"]) is not None


def test_the_end_of_a_read_waits_no_longer_than_the_read(url, opened):
    def read(transaction: Callable[[], AbstractContextManager[Connection]]) -> None:
        """The server becomes silent before the end of the transaction."""
        with ExitStack() as silence, transaction() as connection:
            connection.execute(text("SELECT 1"))
            silence.enter_context(stopped(url))

    with closing(EventStore(url, wait_s=0.25)) as store:
        for transaction in (store._transaction, store._point_transaction):
            with pytest.raises(EventStoreUnavailable, match=r"did not answer within 0.5 s"):
                read(transaction)
