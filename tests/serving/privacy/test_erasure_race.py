"""Users are erased while their events are posted: in no order does a row outlive the acknowledged erasure."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from contracts import Flag, OptOut, SubjectType
from serving.http.app import create_app
from serving.privacy.opt_out_service import OptOutService
from serving.privacy.opt_out_store import OptOutStore
from serving.stores.event_store import EventStore

USERS = [f"racer-{number}" for number in range(40)]
NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


def event(user: str, number: int) -> dict:
    return {"event_id": f"{user}/{number}", "user_id": user, "item_id": "i1", "action": "save", "timestamp": NOON}


def post(pending: EventStore, started: threading.Event | None = None) -> None:
    """Batches that hold several users each, over and over."""
    for number in range(12):
        for first in range(0, len(USERS), 5):
            pending.add([event(user, number) for user in USERS[first : first + 5]])
            if started:
                started.set()


def rows_left_after_each_erasure(opt_out_service: OptOutService) -> list[int]:
    """Erase all users, and read the store at each acknowledgement."""
    left = []
    for user in USERS:
        opt_out_service.opt_out("user", user, "erasure")
        left.append(opt_out_service.events.rows()["user_id"].to_pylist().count(user))
    return left


def race(opt_out_service: OptOutService) -> None:
    started = threading.Event()
    with ThreadPoolExecutor(3) as posts:
        running = [posts.submit(post, opt_out_service.events, started) for _ in range(3)]
        started.wait()
        assert sum(rows_left_after_each_erasure(opt_out_service)) == 0
        for each in running:
            each.result()
    assert opt_out_service.events.rows().num_rows == 0, "a row came in after the erasure"


@pytest.fixture
def opt_out_service(tmp_path) -> OptOutService:
    return stores(tmp_path)


def stores(folder: Path) -> OptOutService:
    opt_outs = OptOutStore(f"sqlite:///{folder}/opt_outs.db", beside=[folder])
    opt_outs.create()
    return OptOutService(opt_outs, EventStore(f"sqlite:///{folder}/pending_events.db"))


def test_no_row_outlives_an_erasure_while_threads_post(opt_out_service: OptOutService) -> None:
    race(opt_out_service)


def _post(folder: Path, started) -> None:
    pending = EventStore(f"sqlite:///{folder}/pending_events.db")
    pending.add([event("some-user", 0)])
    started.wait()
    post(pending)


def test_no_row_outlives_an_erasure_while_processes_post(opt_out_service: OptOutService, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    started = spawn.Event()
    processes = [spawn.Process(target=_post, args=(tmp_path, started)) for _ in range(2)]
    for process in processes:
        process.start()
    while opt_out_service.events.rows().num_rows == 0:
        pass
    started.set()
    assert sum(rows_left_after_each_erasure(opt_out_service)) == 0
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert set(opt_out_service.events.rows()["user_id"].to_pylist()) == {"some-user"}


def test_over_http_the_rows_are_named(lake) -> None:
    """A user who is erased between the check and the insert is refused by the insert itself."""
    with TestClient(create_app(lake.settings()), base_url="http://127.0.0.1:8000") as client:
        client.app.state.event_store.erase(["user-1"])  # the flag was set a moment after the post had read the flags
        rows = [{**event(user, 0), "timestamp": "2017-03-01T12:00:00Z"} for user in ("user-1", "user-2", "user-1")]
        receipt = client.post("/v1/events", json={"events": rows}).json()
        assert (receipt["accepted"], receipt["duplicates"]) == (1, 0)
        assert [(error["index"], error["reason"]) for error in receipt["errors"]] == [(0, "erased"), (2, "erased")]
        assert "user-1" not in str(receipt["errors"])


def test_over_http_no_row_outlives_an_acknowledged_erasure(lake) -> None:
    """Batches that hold several users are posted by three clients while the users are erased one after the other."""
    app = create_app(lake.settings())
    started = threading.Event()

    def post_batches(client: TestClient, poster: int) -> None:
        for number in range(12):
            for first in range(0, len(USERS), 10):
                batch = [
                    event(user, number) | {"timestamp": "2017-03-01T12:00:00Z"} for user in USERS[first : first + 10]
                ]
                batch = [row | {"event_id": f"{poster}/{row['event_id']}"} for row in batch]
                assert client.post("/v1/events", json={"events": batch}).status_code == 200
                started.set()

    with TestClient(app, base_url="http://127.0.0.1:8000") as client, ThreadPoolExecutor(3) as posts:
        running = [posts.submit(post_batches, client, poster) for poster in range(3)]
        started.wait()
        events = app.state.event_store
        for user in USERS:
            assert client.put(f"/v1/opt-outs/user/{user}/erasure").status_code == 200
            assert user not in events.rows()["user_id"].to_pylist()
        for each in running:
            each.result()
        assert not set(USERS) & set(events.rows()["user_id"].to_pylist()), "a row came in after the erasure"


def test_taken_back_events_come_in_again(opt_out_service: OptOutService) -> None:
    opt_out_service.opt_out("user", "ann", "erasure")
    assert opt_out_service.events.add([event("ann", 1)]).erased == {"ann"}
    opt_out_service.opt_in("user", "ann", "erasure")
    assert opt_out_service.events.add([event("ann", 1)]).new == 1


@pytest.mark.parametrize(("erased", "posted"), [("42", "42.0"), ("42.0", "42")])
def test_either_spelling_of_an_id_is_erased(opt_out_service: OptOutService, erased: str, posted: str) -> None:
    opt_out_service.events.add([event("42", 1), event("42.0", 2), event("421", 3)])
    opt_out_service.opt_out("user", erased, "erasure")
    assert opt_out_service.events.rows()["user_id"].to_pylist() == ["421"]
    assert opt_out_service.events.add([event(posted, 4)]).erased == {posted}


def word(user: str, *, out: bool, at: datetime) -> OptOut:
    return OptOut(SubjectType.USER, user, Flag.ERASURE, out, at)


def test_an_imported_erasure_drops_events_and_an_imported_word_takes_it_back(opt_out_service: OptOutService) -> None:
    now = datetime.now(UTC)
    opt_out_service.events.add([event("ann", 1), event("bob", 2)])
    opt_out_service.load(
        [word("ann", out=True, at=now - timedelta(hours=2)), word("bob", out=True, at=now + timedelta(days=3))]
    )
    assert opt_out_service.events.rows()["user_id"].to_pylist() == ["bob"]
    opt_out_service.load([word("ann", out=False, at=now - timedelta(hours=1))])
    assert opt_out_service.events.add([event("ann", 3)]).erased == frozenset()


def test_the_night_finishes_what_was_killed_between_the_two_stores(opt_out_service: OptOutService) -> None:
    opt_out_service.events.add([event("ann", 1)])
    opt_out_service.opt_outs.set("user", "ann", "erasure")  # and killed
    opt_out_service.opt_out("user", "bob", "erasure")
    opt_out_service.opt_outs.clear("user", "bob", "erasure")  # and killed
    assert opt_out_service.reconcile() == 1
    assert opt_out_service.events.add([event("ann", 2)]).erased == {"ann"}
    assert opt_out_service.events.add([event("bob", 3)]).new == 1


def test_a_repeated_erasure_is_not_lifted_by_an_older_withdrawal(opt_out_service: OptOutService) -> None:
    opt_out_service.events.erase(["ann"])
    read = opt_out_service.events.tombstones()
    opt_out_service.events.erase(["ann"])
    opt_out_service.events.readmit(read)
    assert opt_out_service.events.add([event("ann", 1)]).erased == {"ann"}
