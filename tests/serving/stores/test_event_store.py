import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest

from contracts import Action
from contracts.errors import EventStoreUnavailable
from contracts.schemas import INGESTED_EVENTS
from serving.recent_interactions import LONGEST_NIGHT, ReleaseTimes
from serving.stores.event_store import EventStore

NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def pending(tmp_path):
    return EventStore(f"sqlite:///{tmp_path}/pending_events.db")


def event(event_id: str | None, item: str, *, who: str = "ann", action: str = "click", at: datetime = NOON) -> dict:
    return {"event_id": event_id, "user_id": who, "item_id": item, "action": action, "timestamp": at}


def items(pending: EventStore, who: str) -> list[str]:
    return sorted(interaction.item_id for interaction in pending.recent_interactions([who]).get(who, []))


def test_a_repeated_event_id_is_stored_once(pending):
    assert pending.add([event("e1", "i1"), event("e2", "i2")]).new == 2
    assert pending.add([event("e2", "i2"), event("e3", "i3"), event("e3", "i3")]).new == 1
    assert pending.rows()["event_id"].to_pylist() == ["e1", "e2", "e3"]


def test_events_without_an_id_get_one_from_their_content(pending):
    assert pending.add([event(None, "i1"), event(None, "i1"), event(None, "i2")]).new == 2
    assert pending.add([event(None, "i1")]).new == 0


def test_rows_are_the_contract_s(pending):
    pending.add([{**event("e1", "i1"), "position": 3, "propensity": 0.5}])
    table = pending.rows()
    assert table.schema == INGESTED_EVENTS
    row = table.to_pylist()[0]
    assert (row["timestamp"], row["position"], row["propensity"], row["session_id"]) == (NOON, 3, 0.5, None)
    assert abs(row["landed_at"] - datetime.now(UTC)) < timedelta(seconds=5)


def test_recent_interactions_are_all_but_impressions(pending):
    actions = ["impression", "click", "save", "hide", "unhide"]
    pending.add([event(action, action, action=action) for action in actions] + [event("bob's", "i9", who="bob")])
    assert items(pending, "ann") == ["click", "hide", "save", "unhide"]
    assert items(pending, "stranger") == []


def test_a_release_is_not_given_what_it_includes(pending):
    before, later = NOON - timedelta(hours=1), NOON
    pending.add([event("e1", "included", at=before), event("e2", "later", at=later)])
    with closing(sqlite3.connect(pending._url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE pending_events SET landed_at = timestamp")
    while batch := pending.drain():
        pending.mark_ingested(batch.name)
    pending.add([event("e3", "late", at=before)])
    while batch := pending.drain():
        pending.mark_ingested(batch.name)

    def read(release: ReleaseTimes) -> list[list[str]]:
        """Alone and with another user."""
        answers = [pending.recent_interactions(users, release)["ann"] for users in (["ann"], ["ann", "bob"])]
        return [sorted(each.item_id for each in answer) for answer in answers]

    built_at = NOON + LONGEST_NIGHT + timedelta(hours=1)
    assert read(ReleaseTimes(NOON, built_at)) == 2 * [["late", "later"]]
    assert read(ReleaseTimes(NOON, NOON)) == read(ReleaseTimes(before, built_at)) == 2 * [["included", "late", "later"]]
    pending.add([event("e4", "waiting", at=before)])
    assert read(ReleaseTimes(NOON, datetime.now(UTC) + 2 * LONGEST_NIGHT)) == 2 * [["later", "waiting"]]


def test_erase_drops_a_user(pending, tmp_path):
    pending.add([event("e1", "i1", who="ann-of-the-north"), event("e2", "i1", who="bob")])
    assert pending.erase(["ann-of-the-north", "stranger"]) == 1
    assert pending.rows()["user_id"].to_pylist() == ["bob"]
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"ann-of-the-north" not in files


def test_nothing_to_add_or_drain(pending):
    assert pending.add([]).new == 0
    assert pending.drain() is None
    assert pending.erase([]) == 0


def test_drain_gives_the_same_batch_until_it_is_ingested(pending):
    pending.add([event("e1", "i1"), event("e2", "i2")])
    batch = pending.drain()
    pending.add([event("e3", "i3")])  # arrives while the night writes, and the night is killed
    again = pending.drain()
    assert (again.name, again.rows["event_id"].to_pylist()) == (batch.name, ["e1", "e2"])
    pending.mark_ingested(batch.name)
    following = pending.drain()
    assert following.rows["event_id"].to_pylist() == ["e3"]
    pending.mark_ingested(following.name)
    assert pending.drain() is None
    assert items(pending, "ann") == ["i1", "i2", "i3"]  # still left out of feeds: no release includes them


def test_forget_what_a_release_includes(pending):
    pending.add([event("before", "i1"), event("after", "i2", at=NOON + timedelta(days=1))])
    pending.mark_ingested(pending.drain().name)
    pending.add([event("late", "i3")])  # happened before, arrived after the drain
    assert pending.delete_before(NOON + timedelta(hours=12)) == 1
    assert pending.rows()["event_id"].to_pylist() == ["after", "late"]


def test_a_large_batch(pending):
    assert pending.add([event(f"e{number}", "i1") for number in range(2500)]).new == 2500


def test_a_store_that_is_away(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EventStoreUnavailable, match=r"the store of posted events .* cannot be used .*TASTEFEED_EVENTS_URL"
    ):
        EventStore(f"sqlite:///{tmp_path}/file/pending.db").rows()


def test_a_drain_is_bounded_and_misses_nothing(pending):
    pending.add([event(f"e{number:03}", f"i{number}") for number in range(25)])
    sizes, seen = [], []
    while batch := pending.drain(limit=10):
        again = pending.drain(limit=10)
        assert (again.name, again.rows) == (batch.name, batch.rows)
        sizes.append(batch.rows.num_rows)
        seen += batch.rows["event_id"].to_pylist()
        pending.mark_ingested(batch.name)
    assert sizes == [10, 10, 5]
    assert sorted(seen) == [f"e{number:03}" for number in range(25)]


def test_rows_of_an_erased_user_are_refused_and_not_stored(pending):
    pending.erase(["ann"])
    added = pending.add([event("e1", "i1"), event("e2", "i2", who="bob")])
    assert (added.new, added.erased) == (1, {"ann"})
    assert pending.rows()["user_id"].to_pylist() == ["bob"]


def test_rows_erased_between_sealing_and_landing_are_not_drained_again(pending):
    pending.add([event("e1", "i1"), event("e2", "i2", who="bob")])
    pending.drain()  # and the night is killed
    pending.erase(["ann"])
    assert pending.drain().rows["user_id"].to_pylist() == ["bob"]


def test_waiting_events_are_counted_up_to_a_bound(pending, monkeypatch):
    pending.add([event(f"e{number}", "i1") for number in range(3)])
    assert pending.waiting() == 3
    monkeypatch.setattr("serving.stores.event_store.MAX_COUNTED", 2)
    assert pending.waiting() == 2


def test_waiting_events_are_counted_per_day_within_the_times_that_a_night_accepts(pending, tmp_path):
    assert not pending.waiting_per_day()
    assert list(tmp_path.iterdir()) == [], "a night counts before it locks the lake, and creates nothing"
    pending.add([event("ingested", "i1")])
    pending.mark_ingested(pending.drain().name)
    midnight, now = datetime(2017, 3, 2, tzinfo=UTC), datetime.now(UTC)
    instants = [NOON, midnight - timedelta(microseconds=1), midnight, midnight + timedelta(hours=1)]
    refused = [datetime(1989, 12, 31, tzinfo=UTC), now + timedelta(days=2)]
    pending.add([event(f"e{number}", "i1", at=at) for number, at in enumerate([*instants, *refused])])
    expected = {date(2017, 3, 1): 2, date(2017, 3, 2): 2}
    assert pending.waiting_per_day() == expected
    pending.drain(limit=3)  # and the night is killed: the next one drains these first
    assert pending.waiting_per_day() == expected


def test_waiting_likes_are_one_row_a_user_and_day_without_impressions(pending):
    pending.add([event("ingested", "i1", who="cho")])
    pending.mark_ingested(pending.drain().name)
    pending.add([event(f"e{number}", "i1", at=NOON + timedelta(hours=number)) for number in range(3)])
    pending.add([event("e3", "i1", action="save", at=NOON + timedelta(hours=12)), event("e4", "i1", who="bob")])
    pending.add([event(action, "i1", who="dan", action=action) for action in ("impression", "hide", "unhide")])
    first, second = (datetime(2017, 3, day, tzinfo=UTC) for day in (1, 2))
    assert sorted(pending.waiting_likes()) == [("ann", first), ("ann", second), ("bob", first)]


def test_a_feed_looks_up_a_user_s_few_actions_and_not_all_rows(pending, tmp_path):
    pending.add([event(f"e{number}", f"i{number}", action="impression") for number in range(3000)])
    pending.add([event("saved", "i7", action="save")])
    assert items(pending, "ann") == ["i7"]
    with closing(sqlite3.connect(tmp_path / "pending_events.db")) as connection:
        query = "SELECT item_id FROM pending_events WHERE user_id = 'ann' AND action IN ('click', 'save', 'hide')"
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
    assert "(user_id=? AND action=?)" in plan


def test_a_store_of_before_gets_the_indexes_and_tombstones(pending, tmp_path):
    pending.add([event("e1", "i1")])
    with closing(sqlite3.connect(tmp_path / "pending_events.db")) as connection, connection:
        connection.execute("DROP INDEX ix_pending_events_user_action")
        connection.execute("DROP INDEX ix_pending_events_drain")
        connection.execute("DROP TABLE erased_users")
    again = EventStore(f"sqlite:///{tmp_path}/pending_events.db")
    assert again.erase(["ann"]) == 1
    assert again.add([event("e1", "i1")]).erased == {"ann"}


def test_what_a_release_includes_is_deleted_in_parts(pending, monkeypatch):
    monkeypatch.setattr("serving.stores.event_store.ROWS_PER_BATCH", 10)
    pending.add(
        [event(f"e{number}", f"i{number}") for number in range(20)] + [event("shown", "i1", action="impression")]
    )
    pending.mark_ingested(pending.drain(limit=30).name)
    assert pending.delete_before(NOON + timedelta(hours=1), actions=(Action.CLICK,)) == 20
    assert pending.rows()["event_id"].to_pylist() == ["shown"]
