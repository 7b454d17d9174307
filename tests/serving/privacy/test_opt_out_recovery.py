"""A store that is lost, emptied, older or another one: every fresh process refuses it. Until it is restored, no feed is
personalized, and the excluded items and creators stay excluded."""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from contracts import Flag, SubjectType
from contracts.errors import OptOutStoreUnavailable
from serving.http.app import create_app
from serving.privacy.last_known_exclusions import EXCLUSIONS_FILE
from serving.privacy.marker_files import MARKER_FILE
from serving.privacy.opt_out_store import OptOutStore
from tests.serving.http.test_server import HTTP, answers, served, workers_that_answered

FEEDS = """
import json, os, sys
import lightgbm  # reading a release imports it
from contracts import Settings
from serving.privacy.consent import ConsentGate
from serving.cursor import CursorSigner
from serving.feed_request import FeedParts, FeedRequest
from serving.feed import HomeFeed
from serving.releases.release_loader import ReloadingRelease
from serving.privacy.opt_out_service import OptOutService

def feeds_of(lake):
    settings = Settings(lake=lake)
    stores, loader = OptOutService.of(settings), ReloadingRelease(settings.release_root)
    loader.load_first()
    feeds = HomeFeed(FeedParts(loader, ConsentGate(stores.opt_outs, stores.events), CursorSigner.temporary()))
    feeds_of_users = [feeds.served(FeedRequest(user, limit=200)).feed for user in ("user-1", "user-2", "stranger")]
    return [[feed.reason, [item.item_id for item in feed.items]] for feed in feeds_of_users]

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        print(json.dumps(feeds_of(line.strip())), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(1)
"""
"""Reads folders of lakes. For each it forks a process that prints the feeds: it has never opened a store, as any fresh
process, but need not import the packages again."""
EXCLUDED_ITEM, CREATOR = "i0", "c3"
FORKS: list[subprocess.Popen[str]] = []


@pytest.fixture(scope="module", autouse=True)
def forks() -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", FEEDS], stdin=pipe, stdout=pipe, text=True) as process:
        FORKS.append(process)
        yield process
        FORKS.clear()


def feeds_of_a_fresh_process(lake) -> list[list]:
    (process,) = FORKS
    print(lake.folder, file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def deleted(path: Path) -> None:
    for file in path.parent.glob("opt_outs.db*"):
        file.unlink()


def emptied(path: Path) -> None:
    deleted(path)
    path.touch()


def without_tables(path: Path) -> None:
    sql(path, "DROP TABLE opt_outs", "DROP TABLE opt_out_store")


def without_records_table(path: Path) -> None:
    sql(path, "DROP TABLE opt_outs")


def without_rows(path: Path) -> None:
    sql(path, "DELETE FROM opt_outs")


def without_identity_row(path: Path) -> None:
    sql(path, "DELETE FROM opt_out_store")


def without_one_row(path: Path) -> None:
    sql(path, "DELETE FROM opt_outs WHERE subject_id = 'user-1'")


def an_older_copy(path: Path) -> None:
    deleted(path)
    shutil.copy(path.with_name("older.db"), path)


def another_new_store(path: Path) -> None:
    deleted(path)
    OptOutStore(f"sqlite:///{path}", beside=[path.parent / "elsewhere"]).create()


def a_store_of_an_older_version(path: Path) -> None:
    """As every fresh process of an older version made it."""
    deleted(path)
    columns = "subject_type VARCHAR, subject_id VARCHAR, flag VARCHAR, effective_at BIGINT, opted_out BOOLEAN"
    sql(path, f"CREATE TABLE opt_outs ({columns}, PRIMARY KEY (subject_type, subject_id, flag, effective_at))")


def truncated(path: Path) -> None:
    content = path.read_bytes()
    deleted(path)
    path.write_bytes(content[: len(content) // 3])


LOSSES = (
    deleted,
    emptied,
    without_tables,
    without_records_table,
    without_rows,
    without_identity_row,
    without_one_row,
    an_older_copy,
    another_new_store,
    a_store_of_an_older_version,
    truncated,
)


@pytest.fixture
def filled(lake) -> Path:
    """The store of a lake in which `user-1`, an item and a creator have opted out, with an older copy beside it."""
    store = OptOutStore.of(lake.settings())
    store.set("user", "user-4", "training")
    path = lake.folder / "opt_outs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, path.with_name("older.db"))
    store.set("user", "user-1", "personalization")
    store.set("item", EXCLUDED_ITEM, "recommendation")
    store.set("creator", CREATOR, "recommendation")
    store.close()
    return path


@pytest.mark.parametrize("loss", LOSSES)
def test_a_fresh_process_personalizes_no_feed_and_shows_no_excluded_item(
    lake, filled: Path, loss: Callable[[Path], None]
) -> None:
    loss(filled)
    for _ in range(2):  # the first fresh process must not have made a store for the second
        for reason, items in feeds_of_a_fresh_process(lake):
            assert reason == "opt_out_store_unavailable"
            assert items
            assert EXCLUDED_ITEM not in items
            assert not {item for item in items if int(item[1:]) % 5 == 3}, "items of c3"


@pytest.mark.parametrize("loss", LOSSES)
def test_every_query_and_every_write_is_refused_with_the_remedy(
    lake, filled: Path, loss: Callable[[Path], None]
) -> None:
    loss(filled)
    for ask in (
        lambda store: store.flags(SubjectType.USER, "user-1"),
        lambda store: store.subjects(SubjectType.USER, [Flag.PERSONALIZATION]),
        lambda store: store.show("user", "user-1"),
        lambda store: store.set("user", "user-2", "erasure"),
        lambda store: store.clear("user", "user-1", "personalization"),
        lambda store: store.load([]),
        lambda store: store.create(),
        lambda store: store.snapshot(),
    ):
        with pytest.raises(OptOutStoreUnavailable, match="tastefeed opt-out restore") as refused:
            ask(OptOutStore.of(lake.settings()))
        assert "user-1" not in str(refused.value)


@pytest.mark.parametrize("loss", [deleted, emptied, without_tables, an_older_copy, another_new_store, without_rows])
def test_a_running_server_notices_at_the_next_request(lake, filled: Path, loss: Callable[[Path], None]) -> None:
    with TestClient(create_app(lake.settings()), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/v1/users/user-2/home-feed").json()["personalized"]
        loss(filled)
        assert client.get("/v1/users/user-2/home-feed").json()["reason"] == "opt_out_store_unavailable"
        assert client.get("/readyz").json()["status"] == "not_personalized"
        answer = client.put("/v1/opt-outs/user/user-2/erasure")
        assert answer.status_code == 503
        assert "tastefeed opt-out restore" in answer.json()["detail"]


@pytest.mark.parametrize("loss", [deleted, an_older_copy])
def test_two_workers_refuse_a_lost_store(lake, filled: Path, loss: Callable[[Path], None], tmp_path: Path) -> None:
    with served(lake, tmp_path / "server.log", workers=2) as url:
        assert {answer["reason"] for answer in answers(url, 20)} == {"opted_out"}
        loss(filled)
        pages = answers(url, 20)
        assert {answer["reason"] for answer in pages} == {"opt_out_store_unavailable"}
        assert EXCLUDED_ITEM not in {item["item_id"] for answer in pages for item in answer["items"]}
        assert HTTP.get(f"{url}/readyz").json()["status"] == "not_personalized"
    assert len(workers_that_answered(tmp_path / "server.log")) == 2


def test_no_server_and_no_reader_creates_a_store(lake, filled: Path) -> None:
    for file in [*lake.folder.glob("opt_outs.db*"), lake.folder / MARKER_FILE, lake.releases / MARKER_FILE]:
        file.unlink()  # a lake that never had one
    assert {reason for reason, _ in feeds_of_a_fresh_process(lake)} == {"opt_out_store_unavailable"}
    with TestClient(create_app(lake.settings()), base_url="http://127.0.0.1:8000") as client:
        assert client.put("/v1/opt-outs/user/user-2/erasure").status_code == 503
        assert "tastefeed init" in client.get("/readyz").json()["detail"]
    assert not list(lake.folder.glob("opt_outs.db*"))


def test_a_store_without_identity_serves_until_it_is_adopted(lake, filled: Path) -> None:
    sql(filled, "DROP TABLE opt_out_store")
    for folder in (lake.folder, lake.releases):
        (folder / MARKER_FILE).unlink()
    reasons = [reason for reason, _ in feeds_of_a_fresh_process(lake)]
    assert reasons == ["opted_out", None, "unknown_user"]
    store = OptOutStore.of(lake.settings())
    store.set("user", "user-2", "personalization")  # a server accepts changes meanwhile
    assert store.check() is None
    assert store.create() is False
    assert store.flags(SubjectType.USER, "user-1") == {Flag.PERSONALIZATION}
    without_rows(filled)
    with pytest.raises(OptOutStoreUnavailable, match="lacks rows"):
        OptOutStore.of(lake.settings()).active("user-2")


def test_the_marker_is_never_ahead_of_the_store(lake, filled: Path) -> None:
    """A kill between the commit and the marker leaves the marker behind, and the store whole."""
    markers = {folder / MARKER_FILE: (folder / MARKER_FILE).read_bytes() for folder in (lake.folder, lake.releases)}
    OptOutStore.of(lake.settings()).set("user", "user-2", "erasure")
    for path, content in markers.items():
        path.write_bytes(content)
    store = OptOutStore.of(lake.settings())
    assert store.flags(SubjectType.USER, "user-2") == {Flag.ERASURE}
    store.set("user", "user-3", "training")  # catches up
    (lake.folder / MARKER_FILE).unlink()  # one of the two is enough
    an_older_copy(filled)
    with pytest.raises(OptOutStoreUnavailable, match=r"older than what was written.*has 1 changes, 6 were written"):
        OptOutStore.of(lake.settings()).flags(SubjectType.USER, "user-2")


def test_an_acknowledged_change_is_in_the_marker(lake, filled: Path) -> None:
    store = OptOutStore.of(lake.settings())
    for count in range(5, 9):
        store.set("user", "user-2", "training")
        for folder in (lake.folder, lake.releases):
            assert json.loads((folder / MARKER_FILE).read_text())["words"] == count


def test_the_marker_cannot_be_written(lake, filled: Path) -> None:
    """Then the write is not acknowledged."""
    (lake.folder / ".opt_out_store.lock").unlink()
    (lake.folder / ".opt_out_store.lock").mkdir()
    with pytest.raises(OptOutStoreUnavailable):
        OptOutStore.of(lake.settings()).set("user", "user-2", "training")


@pytest.mark.parametrize("content", [b"", b"{", b'{"identity": "x"}'])
def test_a_marker_that_cannot_be_read_is_not_a_missing_one(lake, filled: Path, content: bytes) -> None:
    store = OptOutStore.of(lake.settings())
    assert store.active("user-2") is not None  # a marker that was read before is read again
    (lake.releases / MARKER_FILE).write_bytes(content)
    with pytest.raises(OptOutStoreUnavailable, match=r"cannot be read.*tastefeed opt-out restore"):
        store.active("user-1")


def test_exclusions_are_saved_beside_the_releases_by_every_reader(lake, filled: Path) -> None:
    (lake.releases / EXCLUSIONS_FILE).unlink()
    OptOutStore.of(lake.settings()).active(None)
    kept = json.loads((lake.releases / EXCLUSIONS_FILE).read_text())
    assert (kept["items"], kept["creators"]) == ([EXCLUDED_ITEM], [CREATOR])
    OptOutStore.of(lake.settings()).clear("item", EXCLUDED_ITEM, "recommendation")
    assert json.loads((lake.releases / EXCLUSIONS_FILE).read_text())["items"] == []


def test_a_change_of_a_user_does_not_rewrite_the_exclusions(lake, filled: Path) -> None:
    before = (lake.releases / EXCLUSIONS_FILE).stat().st_mtime_ns
    OptOutStore.of(lake.settings()).set("user", "user-3", "training")
    assert (lake.releases / EXCLUSIONS_FILE).stat().st_mtime_ns == before
