"""Impressions over HTTP: posted, or counted by the night."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient

from contracts.errors import ReleaseCorrupt
from ranking.fatigue import UserImpressions
from serving.batch_inference import recommend
from serving.feed_request import FeedRequest
from serving.http.app import create_app
from serving.releases.publish import load
from tests.serving.test_feed import feed, ids, post
from tests.serving.test_posted_interactions import every_list
from tests.serving.tiny import N_ITEMS, N_USERS, publish_tiny

CANDIDATES = N_ITEMS - 2
"""All but the two items of `user-1`'s history."""


def impressions(item: str, count: int, *, user: str = "user-1", at: str = "2017-03-02T00:00:{:02}Z") -> list[dict]:
    return [
        {"user_id": user, "item_id": item, "action": "impression", "timestamp": at.format(second)}
        for second in range(count)
    ]


def test_fifty_impressions_of_each_of_the_first_ten_items_change_the_next_feed(client):
    before = ids(feed(client, limit=200))
    post(client, *(row for item in before[:10] for row in impressions(item, 50)))
    after = ids(feed(client, limit=200))
    assert set(after) == set(before[10:])
    batch = client.post("/v1/home-feeds", json={"user_ids": ["user-0", "user-1"], "limit": 200}).json()
    assert ids(batch["feeds"][1]) == after
    assert len(ids(batch["feeds"][0])) == CANDIDATES
    state = client.app.state
    lists = recommend(
        state.release_loader.get(), ["user-1"], 200, state.opt_out_service.opt_outs, events=state.event_store
    )
    assert lists["item_id"].to_pylist() == after


def test_some_impressions_demote(client):
    before = ids(feed(client, limit=200))
    post(client, *impressions(before[0], 9))
    after = ids(feed(client, limit=200))
    assert sorted(after) == sorted(before)
    assert after.index(before[0]) > 3


def test_impressions_between_two_pages_change_the_next_list_alone(client):
    whole = ids(feed(client, limit=200))
    first = feed(client, limit=10)
    post(client, *(row for item in whole[:20] for row in impressions(item, 10)))
    assert ids(first) + ids(feed(client, limit=200, cursor=first["cursor"])) == whole
    assert set(ids(feed(client, limit=200))) == set(whole[20:])


def test_what_was_shown_moments_ago_comes_last(client):
    before = ids(feed(client, limit=200))
    now = datetime.now(UTC)
    post(client, *(row for item in before[:5] for row in impressions(item, 1, at=now.isoformat())))
    half_an_hour_ago = (now - timedelta(minutes=31)).isoformat()
    post(client, *impressions(before[5], 1, at=half_an_hour_ago))
    after = ids(feed(client, limit=200))
    assert set(after[-5:]) == set(before[:5])


def test_settings_turn_fatigue_off(lake):
    changes = {"fatigue_discount": 0, "fatigue_limit": 0, "repeat_minutes": 0}
    with TestClient(create_app(lake.settings(**changes)), base_url="http://127.0.0.1:8000") as client:
        before = ids(feed(client, limit=200))
        post(client, *(row for item in before[:10] for row in impressions(item, 50)))
        assert ids(feed(client, limit=200)) == before


def test_the_impressions_of_the_night_count_too(client, lake):
    before = ids(feed(client, limit=200))
    often, once = (int(item[1:]) for item in before[:2])
    offsets = np.zeros(N_USERS + 1, np.int64)
    offsets[2:] = 2
    lake.publish(impressions=UserImpressions(offsets, np.array([often, once], np.int32), np.array([9, 1], np.int32)))
    client.app.state.release_loader.load_first()
    assert load(lake.releases).impressions.of(1) == {often: 9, once: 1}
    after = ids(feed(client, limit=200))
    assert before[1] in after
    assert after.index(before[0]) > 10  # before the posted one, nine of the night
    post(client, *impressions(before[0], 1))  # the tenth
    assert before[0] not in ids(feed(client, limit=200))
    assert before[0] in ids(feed(client, user="user-2", limit=200))


def test_impressions_that_the_night_has_counted_are_not_counted_twice(client):
    before, events = ids(feed(client, limit=200)), client.app.state.event_store
    post(client, *impressions(before[0], 50, at="2017-02-28T00:00:{:02}Z"))  # they came after the night had begun
    assert before[0] not in ids(feed(client, limit=200))
    events.mark_ingested(events.drain().name)  # and a night that ends before it has deleted them
    assert every_list(client) == [before, before]
    state = client.app.state
    lists = recommend(
        state.release_loader.get(), ["user-1"], 200, state.opt_out_service.opt_outs, events=state.event_store
    )
    assert lists["item_id"].to_pylist() == before


def test_impressions_of_other_users_are_no_part_of_a_release(tmp_path):
    of_two = UserImpressions(np.array([0, 1, 1]), np.array([3], np.int32), np.array([1], np.int32))
    publish_tiny(tmp_path / "releases", tmp_path / "builds", impressions=of_two)
    with pytest.raises(ReleaseCorrupt, match=r"impressions\.safetensors: 2 users, the release has 5; publish again"):
        load(tmp_path / "releases")


@pytest.mark.parametrize("headers", [{"Sec-GPC": "1"}, {}])
def test_the_impressions_of_an_opted_out_user_are_not_read(client, headers):
    fallback = ids(feed(client, user="stranger", limit=200))
    post(client, *(row for item in fallback[:10] for row in impressions(item, 50)))
    if not headers:
        client.put("/v1/opt-outs/user/user-1/personalization")
    assert ids(feed(client, headers=headers, limit=200)) == fallback


def stored(client, count: int) -> list[dict]:
    """The rows of the event store, once there are as many."""
    for _ in range(200):
        rows = client.app.state.event_store.rows().to_pylist()
        if len(rows) >= count:
            break
        time.sleep(0.02)
    return rows


class TestRecordedFeeds:
    """With `TASTEFEED_RECORD_SERVED`, what a feed shows is recorded, by every worker in one store."""

    @pytest.fixture
    def workers(self, lake) -> Iterator[list[TestClient]]:
        with ExitStack() as stack:
            apps = [create_app(lake.settings(record_served=True)) for _ in range(2)]
            yield [stack.enter_context(TestClient(app, base_url="http://127.0.0.1:8000")) for app in apps]

    def test_a_refresh_repeats_nothing_until_nothing_else_is_left(self, workers):
        one, other = workers
        whole = feed(one, limit=5)["items"]
        first = sorted(stored(one, 5), key=lambda row: row["timestamp"])
        assert [(row["item_id"], row["action"], row["position"]) for row in first] == [
            (item["item_id"], "impression", item["rank"] - 1) for item in whole
        ]
        assert len({row["timestamp"] for row in first}) == 5
        second = feed(other, limit=30)
        assert set(ids(second)).isdisjoint(row["item_id"] for row in first)
        stored(one, 35)
        rest = ids(feed(one, limit=200))
        assert set(rest[:3]).isdisjoint(ids(second) + [row["item_id"] for row in first])
        assert sorted(rest) == sorted(ids(feed(other, limit=200)))  # nothing else is left

    def test_the_creators_of_the_last_feed_count_in_the_next_one(self, workers):
        creators = []
        for pages in range(1, 5):
            creators += [item["creator_id"] for item in feed(workers[pages % 2], user="user-2", limit=4)["items"]]
            stored(workers[0], 4 * pages)
        for start in range(len(creators) - 9):
            window = creators[start : start + 10]
            assert max(window.count(creator) for creator in window) <= 3

    def test_pages_are_those_of_one_list(self, workers, client):
        one, other = workers
        whole = ids(feed(client, limit=200))
        first = feed(one, limit=10)
        stored(one, 10)
        second = feed(other, limit=10, cursor=first["cursor"])
        assert ids(first) + ids(second) == whole[:20]

    def test_feeds_of_many_users_are_recorded_too(self, workers):
        one, other = workers
        batch = one.post("/v1/home-feeds", json={"user_ids": ["user-0", "stranger", "user-1"], "limit": 4}).json()
        rows = stored(one, 8)
        assert {row["user_id"] for row in rows} == {"user-0", "user-1"}
        assert set(ids(batch["feeds"][2])).isdisjoint(ids(feed(other, limit=4)))
        assert 'tastefeed_recorded_feeds_total{result="recorded"} 2.0' in one.get("/metrics").text

    def test_nothing_is_recorded_of_users_who_opted_out(self, workers, lake):
        one, other = workers
        one.put("/v1/opt-outs/user/user-1/personalization")
        feed(one)
        feed(one, user="user-2", headers={"Sec-GPC": "1"})
        feed(one, user="stranger")
        of_another = one.app.state.home_feed.served(FeedRequest("user-3")).feed
        for served in (of_another, replace(of_another, user_id="user-1")):  # the second one opted out meanwhile
            one.app.state.recorder.record(served)
        feed(other, user="user-4", limit=1)
        assert {row["user_id"] for row in stored(one, 39)} == {"user-3", "user-4"}

    def test_a_store_that_cannot_be_used_loses_no_feed(self, workers, lake, monkeypatch):
        one, _ = workers
        monkeypatch.setattr("serving.impression_recorder.RETRY_S", 0.05)
        with closing(sqlite3.connect(lake.folder / "pending_events.db", isolation_level=None)) as lock:
            feed(one, limit=2)
            lock.execute("BEGIN EXCLUSIVE")
            time.sleep(0.4)  # longer than a request waits for a lock
            lock.execute("ROLLBACK")
        assert len(stored(one, 2)) == 2
