"""Explored places over HTTP: two of each page of ten, drawn from what no page has shown."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from tests.serving.test_feed import feed, ids, post, walked
from tests.serving.test_shown_items import impressions, stored

PLACES = [3, 6]


@pytest.fixture
def exploring(lake) -> Iterator[TestClient]:
    settings = lake.settings(exploration_slots=2, exploration_temperature=1)
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


def propensities(page) -> list[float | None]:
    return [item["propensity"] for item in page["items"]]


def explored(page) -> list[str]:
    return [item["item_id"] for item in page["items"] if item["propensity"] is not None]


def test_two_places_of_ten_are_explored_with_their_propensities(exploring, client):
    page, regular = feed(exploring, limit=10), feed(client, limit=10)
    chances = propensities(page)
    assert [place for place, chance in enumerate(chances) if chance is not None] == PLACES
    assert all(0 < chances[place] < 1 for place in PLACES)
    others = [item for item in ids(page) if item not in explored(page)]
    assert others == ids(regular)[:8]
    assert propensities(regular) == [None] * 10
    assert [item["rank"] for item in page["items"]] == list(range(1, 11))
    assert all(item["explanation"]["text"] for item in page["items"])


def test_the_same_request_draws_the_same_items_all_day(exploring):
    assert feed(exploring, limit=10)["items"] == feed(exploring, limit=10)["items"]
    users = {user: explored(feed(exploring, user=user, limit=10)) for user in (f"user-{row}" for row in range(5))}
    assert len({tuple(items) for items in users.values()}) > 1
    batch = exploring.post("/v1/home-feeds", json={"user_ids": list(users), "limit": 10}).json()
    assert {page["user_id"]: explored(page) for page in batch["feeds"]} == users


def test_pages_repeat_nothing_and_lose_nothing(exploring, client):
    pages = walked(exploring, lambda _: None, limit=10)
    shown = [item for page in pages for item in ids(page)]
    assert sorted(shown) == sorted(ids(feed(client, limit=200)))
    assert [item["rank"] for page in pages for item in page["items"]] == list(range(1, len(shown) + 1))


def test_a_page_of_one_is_never_explored(exploring):
    assert propensities(feed(exploring, limit=1)) == [None]


def test_what_was_clicked_or_just_shown_is_not_explored(lake):
    settings = lake.settings(exploration_slots=5, exploration_pool=1000)
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        first = feed(client, limit=10)
        drawn = explored(first)
        now = datetime.now(UTC).isoformat()
        post(client, {"item_id": drawn[0]}, *(row for item in drawn[1:] for row in impressions(item, 1, at=now)))
        assert not set(drawn) & set(ids(feed(client, limit=10)))
        after = feed(client, limit=10, cursor=first["cursor"])
        assert not set(ids(first)) & set(ids(after))


def test_no_one_who_opted_out_is_shown_a_draw(exploring):
    fallback = ids(feed(exploring, user="stranger", limit=10))
    exploring.put("/v1/opt-outs/user/user-1/personalization")
    for page in (
        feed(exploring, limit=10),
        feed(exploring, user="user-2", limit=10, headers={"Sec-GPC": "1"}),
        feed(exploring, user="stranger", limit=10),
    ):
        assert (ids(page), propensities(page)) == (fallback, [None] * 10)


def test_the_switch_turns_exploration_off_at_the_next_request(exploring, client):
    assert explored(feed(exploring, limit=10))
    assert exploring.put("/v1/admin/switches/exploration").status_code == 200
    assert feed(exploring, limit=10)["items"] == feed(client, limit=10)["items"]


def test_recorded_impressions_have_the_propensity(lake):
    settings = lake.settings(exploration_slots=2, record_served=True)
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        page = feed(client, limit=10)
        rows = sorted(stored(client, 10), key=lambda row: row["position"])
    assert [row["propensity"] for row in rows] == propensities(page)
