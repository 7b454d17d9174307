"""The stores on PostgreSQL, where one is installed: a cluster of its own on a socket, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tastefeed.contracts import Flag, OptOut, SubjectType
from tastefeed.serving.opt_outs import OptOutStore
from tastefeed.serving.pending_events import PendingEvents

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
def opened(url):
    stores = OptOutStore(url), PendingEvents(url)
    yield stores
    for store in stores:
        store.close()


def test_opt_outs(opened):
    store, now = opened[0], datetime.now(UTC)
    store.set("user", "ann", "personalization")
    store.set("user", "ann", "personalization")
    store.set("creator", "c1", "recommendation")
    assert store.standing("ann").flags == {Flag.PERSONALIZATION}
    assert store.standing("ann").creators == {"c1"}
    store.clear("user", "ann", "personalization")
    assert [word.opted_out for word in store.show("user", "ann")] == [False]
    words = [OptOut(SubjectType.USER, "bob", Flag.ERASURE, True, now - timedelta(hours=hour)) for hour in (1, 2, 2)]
    assert store.load(words) == 3
    assert store.subjects(SubjectType.USER, [Flag.ERASURE]) == {"bob"}


def test_pending_events(opened):
    pending = opened[1]
    row = {"user_id": "ann", "item_id": "i1", "action": "save", "timestamp": datetime(2017, 3, 1, tzinfo=UTC)}
    assert pending.add([row, {**row, "item_id": "i2"}]) == 2
    assert pending.add([row]) == 0
    assert sorted(touch.item_id for touch in pending.touched("ann")) == ["i1", "i2"]
    batch = pending.drain()
    pending.landed(batch.name)
    assert pending.forget_before(datetime(2017, 3, 2, tzinfo=UTC)) == 2
    assert pending.erase(["ann"]) == 0
