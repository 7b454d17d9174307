"""What a user clicked, saved and hid stays out of the feed when a release answers that was made before."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from pipeline.stages.release import KEPT_FOR_RELEASES, delete_included
from serving.batch_inference import recommend
from serving.http.app import create_app
from serving.releases import publish
from serving.stores.event_store import EventStore
from tests.serving.test_feed import feed, ids, post
from tests.serving.test_posted_interactions import every_list
from tests.serving.tiny import AS_OF

DAY = timedelta(days=1)


def night_after(lake, events: EventStore, *, posted_days_ago: int = 2, seed: int = 1, pinned=None, **changes) -> str:
    """Ingest what was posted some days ago, publish a release of the next day, and delete what is included."""
    with closing(sqlite3.connect(lake.folder / "pending_events.db")) as connection, connection:
        micros = posted_days_ago * DAY // timedelta(microseconds=1)
        connection.execute("UPDATE pending_events SET landed_at = landed_at - ?", [micros])
    while batch := events.drain():
        events.mark_ingested(batch.name)
    version = lake.publish(seed=seed, **{"as_of": AS_OF + DAY, **changes})
    delete_included(events, lake.releases, publish.show(lake.releases), {pinned})
    return version


@pytest.fixture
def gone(client) -> set[str]:
    """Three items that `user-1` saw first, then clicked, saved and hid, half a day after the release."""
    first = ids(feed(client, limit=3))
    actions = zip(first, ("click", "save", "hide"), strict=True)
    post(client, *({"item_id": i, "action": a, "timestamp": "2017-03-01T12:00:00Z"} for i, a in actions))
    post(client, {"item_id": first[0], "action": "impression", "timestamp": "2017-03-01T12:00:00Z"})
    return set(first)


def test_a_rollback_a_pin_and_an_arm_repeat_nothing_that_a_newer_release_includes(client, lake, gone):
    old, state = publish.current(lake.releases), client.app.state
    new = night_after(lake, state.event_store)
    assert all(gone.isdisjoint(shown) for shown in every_list(client)), "this worker has the old release in memory"
    state.release_loader.load_first()
    client.put("/v1/admin/switches/pinned_release", json={"value": old})
    assert feed(client)["release"] == old
    assert all(gone.isdisjoint(shown) for shown in every_list(client))
    lists = recommend(publish.load(lake.releases, old), ["user-1"], 200, state.opt_out_service.opt_outs,
                      events=state.event_store)  # fmt: skip
    assert gone.isdisjoint(lists["item_id"].to_pylist())
    client.delete("/v1/admin/switches/pinned_release")
    assert feed(client)["release"] == new
    assert all(gone <= set(shown) for shown in every_list(client)), "only the new release decides, without clicks here"
    publish.rollback(lake.releases)
    state.release_loader.load_first()
    assert feed(client)["release"] == old
    assert all(gone.isdisjoint(shown) for shown in every_list(client))
    publish.rollback(lake.releases, new)
    path = lake.folder / "experiment.json"
    arms = [{"name": "control", "weight": 1e-9}, {"name": "old", "release": old}]
    path.write_text(json.dumps({"name": "older", "arms": arms}))
    settings = lake.settings(experiment=path)
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as other:
        assert feed(other)["release"] == old
        assert all(gone.isdisjoint(shown) for shown in every_list(other))


def test_posted_events_go_once_every_release_includes_them(client, lake, gone):
    events = client.app.state.event_store
    night_after(lake, events)
    assert set(events.rows()["action"].to_pylist()) == {"click", "save", "hide"}, "an impression only demotes"
    night_after(lake, events, seed=2, keep=1)  # the old release is removed
    assert events.rows().num_rows == 0


def test_a_pinned_release_still_counts_what_it_has_shown_and_the_next_one_does_not_count_it_twice(client, lake):
    old, events = publish.current(lake.releases), client.app.state.event_store
    first = ids(feed(client, limit=1))[0]
    times = [f"2017-03-01T12:00:{second:02}Z" for second in range(50)]
    post(client, *({"item_id": first, "action": "impression", "timestamp": at} for at in times))
    client.put("/v1/admin/switches/pinned_release", json={"value": old})
    night_after(lake, events, pinned=old)
    assert all(first not in shown for shown in every_list(client))
    client.delete("/v1/admin/switches/pinned_release")
    client.app.state.release_loader.load_first()
    assert all(first in shown for shown in every_list(client))  # the tiny release counts no impressions
    night_after(lake, events, seed=2)
    assert events.rows().num_rows == 0


def test_what_came_while_the_night_ran_stays_until_it_was_ingested_a_day_before_each_release(client, lake, gone):
    events = client.app.state.event_store
    night_after(lake, events, posted_days_ago=0, keep=1)
    assert events.rows().num_rows == 3


def test_a_release_that_is_kept_for_months_does_not_keep_all_events(client, lake, gone):
    events = client.app.state.event_store
    days = KEPT_FOR_RELEASES + DAY
    night_after(lake, events, posted_days_ago=days.days + 2, as_of=AS_OF + days)
    assert len(publish.list_releases(lake.releases)) == 2
    assert events.rows().num_rows == 0
