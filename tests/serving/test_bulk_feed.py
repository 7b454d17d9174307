"""`POST /v1/home-feeds`: the same first pages as one request for each user, with the same opt-outs."""

import pytest

from tests.serving.conftest import FEED, is_problem
from tests.serving.tiny import AS_OF, N_USERS

USERS = [f"user-{row}" for row in range(N_USERS)]
NOT_PROFILED = ["i0", "i39", "i1"]


def feeds(client, *user_ids: str, limit: int = 3, headers: dict | None = None, **fields) -> dict[str, dict]:
    body = {"user_ids": list(user_ids), "limit": limit, **fields}
    answer = client.post("/v1/home-feeds", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    batch = answer.json()
    assert [feed["user_id"] for feed in batch["feeds"]] == list(user_ids)
    assert batch["request_id"] == answer.headers["X-Request-Id"]
    return {feed["user_id"]: feed for feed in batch["feeds"]}


def ids(feed: dict) -> list[str]:
    return [item["item_id"] for item in feed["items"]]


def alone(client, user: str, limit: int = 3, headers: dict | None = None) -> dict:
    return client.get(f"/v1/users/{user}/home-feed?limit={limit}", headers=headers).json()


def comparable(feed: dict) -> dict:
    items = [{**item, "explanation": None, "score": pytest.approx(item["score"])} for item in feed["items"]]
    return {**feed, "request_id": "", "cursor": feed["cursor"] is None, "items": items}


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_each_feed_is_that_of_a_request_for_one_user(client, limit):
    hidden = ids(alone(client, "user-2"))[0]
    event = {"user_id": "user-2", "item_id": hidden, "action": "hide", "timestamp": AS_OF.isoformat()}
    client.post("/v1/events", json={"events": [event]})
    client.put("/v1/opt-outs/user/user-1/personalization")
    together = feeds(client, "stranger", *reversed(USERS), "stranger", limit=limit)
    for user in ("stranger", *USERS):
        assert comparable(together[user]) == comparable(alone(client, user, limit))
    assert hidden not in ids(together["user-2"])


def test_the_next_page_continues_the_feed(client):
    first = feeds(client, "user-3", limit=5)["user-3"]
    following = client.get("/v1/users/user-3/home-feed", params={"limit": 5, "cursor": first["cursor"]}).json()
    assert ids(first) + ids(following) == ids(alone(client, "user-3", 10))
    assert following["items"][0]["rank"] == 6


@pytest.mark.parametrize("flag", ["personalization", "erasure"])
def test_an_opted_out_user_gets_the_non_profiled_list_among_others(client, flag):
    before = feeds(client, *USERS)
    client.put(f"/v1/opt-outs/user/user-1/{flag}")
    client.put("/v1/opt-outs/user/user-2/training")
    after = feeds(client, *USERS)
    assert (ids(after["user-1"]), after["user-1"]["reason"]) == (NOT_PROFILED, "opted_out")
    assert ids(before["user-1"]) != NOT_PROFILED
    assert [after[user]["items"] for user in USERS if user != "user-1"] == [
        before[user]["items"] for user in USERS if user != "user-1"
    ]


def test_withheld_items_are_in_no_feed(client):
    client.put("/v1/opt-outs/item/i0/recommendation")
    client.put("/v1/opt-outs/creator/c4/recommendation")
    shown = {item for feed in feeds(client, "stranger", *USERS, limit=200).values() for item in ids(feed)}
    assert shown.isdisjoint({"i0", "i4", "i9", "i14"})


def test_global_privacy_control_counts_for_every_user(client):
    both = feeds(client, "user-0", "user-1", headers={"Sec-GPC": "1"})
    assert {feed["reason"] for feed in both.values()} == {"global_privacy_control"}
    assert all(ids(feed) == NOT_PROFILED for feed in both.values())


def test_the_non_profiled_list_in_the_requested_languages(client):
    feed = feeds(client, "stranger", language="auto", headers={"Accept-Language": "pt"})["stranger"]
    assert {int(item[1:]) % 2 for item in ids(feed)} == {1}


def test_unreadable_stores_fail_closed(client, lake, monkeypatch):
    client.put("/v1/opt-outs/item/i0/recommendation")
    (lake.folder / "opt_outs.db").write_bytes(b"no database")
    both = feeds(client, "user-0", "stranger")
    assert {feed["reason"] for feed in both.values()} == {"opt_out_store_unavailable"}
    assert all(ids(feed) == ["i39", "i1", "i38"] for feed in both.values())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "body.user_ids: Field required"),
        ({"user_ids": []}, "body.user_ids: List should have at least 1 item"),
        ({"user_ids": [f"secret-{n}" for n in range(501)]}, "body.user_ids: List should have at most 500 items"),
        ({"user_ids": ["fine", "secret\u0000"]}, "body.user_ids.1: "),
        ({"user_ids": ["fine", None]}, "body.user_ids.1: "),
        ({"user_ids": ["secret"], "limit": 201}, "body.limit: Input should be less than or equal to 200"),
        ({"user_ids": ["secret"] * 126, "limit": 200}, "asks for more than 25,000 items; lower `limit`"),
        ({"user_ids": ["secret"], "cursor": "x"}, "body.cursor: Extra inputs are not permitted"),
    ],
)
def test_invalid_requests_are_refused_without_repeating_ids(client, body, reason):
    answer = client.post("/v1/home-feeds", json=body)
    assert reason in is_problem(answer, 422)["detail"]
    assert "secret" not in answer.text


def test_five_hundred_users(client):
    strangers = [f"stranger {n}" for n in range(500 - N_USERS)]
    answered = feeds(client, *USERS, *strangers, limit=50)
    assert [answered[user]["personalized"] for user in (USERS[0], strangers[0])] == [True, False]


def test_a_feed_key_is_needed_and_enough(keyed):
    body = {"user_ids": ["user-0"]}
    is_problem(keyed.post("/v1/home-feeds", json=body), 401)
    assert keyed.post("/v1/home-feeds", json=body, headers=FEED).status_code == 200


def test_ids_are_neither_logged_nor_counted(client, caplog):
    with caplog.at_level(0):
        feeds(client, "user-0", "user-1", "secret-stranger")
    metrics = client.get("/metrics").text
    assert "secret-stranger" not in caplog.text + metrics
    assert "user-1" not in caplog.text + metrics
    assert 'tastefeed_feeds_total{reason="personalized"} 2.0' in metrics
    assert 'tastefeed_feeds_total{reason="unknown_user"} 1.0' in metrics
    assert 'route="/v1/home-feeds"' in metrics
