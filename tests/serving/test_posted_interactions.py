"""Hides and unhides over HTTP, by the tiny release: `user-1` saved i8 and clicked i9; here they also hid i8 or i9."""

from dataclasses import replace

import pytest

from serving.batch_inference import recommend
from serving.feed_request import FeedRequest
from serving.releases.publish import load
from tests.serving.test_feed import feed, ids, post
from tests.serving.tiny import N_ITEMS, item_table, user_table

SAVED, HIDDEN = "i8", "i9"


def serve_with_hide(client, lake) -> None:
    """Serve the tiny release, where `user-1` hid i9 and did not click it."""
    users = user_table(item_table())
    clicks = users.history_clicks.copy()
    clicks[3] = 0
    lake.publish(users=replace(users, history_clicks=clicks))
    client.app.state.release_loader.load_first()


def every_list(client) -> list[list[str]]:
    """The feed of `user-1`, alone and among others."""
    batch = client.post("/v1/home-feeds", json={"user_ids": ["user-0", "user-1"], "limit": 200}).json()
    return [ids(feed(client, limit=200)), ids(batch["feeds"][1])]


def test_an_unhide_undoes_a_posted_hide(client):
    first = ids(feed(client))[0]
    post(client, {"item_id": first, "action": "hide"})
    assert all(first not in shown for shown in every_list(client))
    post(client, {"item_id": first, "action": "unhide"})
    assert all(first in shown for shown in every_list(client))
    post(client, {"item_id": first, "action": "hide", "timestamp": "2017-03-02T00:00:01Z"})
    assert all(first not in shown for shown in every_list(client))
    late = {"item_id": first, "action": "unhide", "timestamp": "2017-03-01T23:59:59Z"}
    post(client, late)  # it arrives after the hide that came after it
    assert all(first not in shown for shown in every_list(client))


def test_clicks_make_no_later_list_deeper(client):
    def depth() -> int:
        return len(client.app.state.home_feed.served(FeedRequest("user-1", limit=3)).ranked.slates.pairs)

    before = depth()
    post(client, *({"item_id": item, "action": "click"} for item in ids(feed(client, limit=8))))
    assert depth() == before


def test_an_unhide_at_the_instant_of_the_hide_undoes_it(client, lake):
    first = ids(feed(client))[0]
    post(client, {"item_id": first, "action": "unhide"}, {"item_id": first, "action": "hide"})
    assert all(first in shown for shown in every_list(client))
    serve_with_hide(client, lake)  # the hide was an hour before the release
    post(client, {"item_id": HIDDEN, "action": "unhide", "timestamp": "2017-02-28T23:00:00Z"})
    assert all(HIDDEN in shown for shown in every_list(client))


def test_an_unhide_undoes_a_hide_of_the_night_and_no_click_or_save(client, lake):
    serve_with_hide(client, lake)
    assert all(HIDDEN not in shown for shown in every_list(client))
    post(client, {"item_id": HIDDEN, "action": "unhide"}, {"item_id": SAVED, "action": "unhide"})
    for shown in every_list(client):
        assert HIDDEN in shown
        assert SAVED not in shown
    assert HIDDEN not in ids(feed(client, user="user-4", limit=1))
    post(client, {"item_id": HIDDEN, "action": "click"})
    assert all(HIDDEN not in shown for shown in every_list(client))


def test_an_unhide_from_before_the_hide_of_the_night_undoes_nothing(client, lake):
    serve_with_hide(client, lake)  # the hide was an hour before the release
    post(client, {"item_id": HIDDEN, "action": "unhide", "timestamp": "2017-02-28T22:59:59Z"})
    assert all(HIDDEN not in shown for shown in every_list(client))


def test_an_unhide_between_two_pages_changes_the_next_list_alone(client, lake):
    serve_with_hide(client, lake)
    whole = ids(feed(client, limit=200))
    first = feed(client, limit=10)
    post(client, {"item_id": HIDDEN, "action": "unhide"})
    assert ids(first) + ids(feed(client, limit=200, cursor=first["cursor"])) == whole
    assert HIDDEN in ids(feed(client, limit=200))


@pytest.mark.parametrize("flag", ["personalization", "erasure"])
def test_the_unhides_of_an_opted_out_user_are_not_read(client, lake, flag):
    serve_with_hide(client, lake)
    post(client, {"item_id": HIDDEN, "action": "unhide"})
    client.put(f"/v1/opt-outs/user/user-1/{flag}")
    opted_out = feed(client, limit=200)
    assert opted_out["reason"] == "opted_out"
    assert ids(opted_out) == ids(feed(client, user="stranger", limit=200))


def test_batch_inference_reads_unhides(client, lake):
    serve_with_hide(client, lake)
    release, state = load(lake.releases), client.app.state
    post(client, {"item_id": HIDDEN, "action": "unhide"})
    lists = recommend(release, ["user-1"], 200, state.opt_out_service.opt_outs, events=state.event_store)
    assert set(lists["item_id"].to_pylist()) == {f"i{row}" for row in range(N_ITEMS)} - {SAVED}
