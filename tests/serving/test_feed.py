"""The feed over HTTP, by the tiny release: users at items 0, 8, 16, 24, 32, which they saved; they clicked the next."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from contracts.schemas import ITEMS
from ranking.feature_arrays import ids_of
from ranking.rank_users import rank_users
from serving.feed_request import FeedRequest
from serving.http.app import create_app
from serving.privacy.release_erasure import erase_users
from serving.releases.array_files import without_users
from tests.serving.tiny import N_ITEMS, catalogue, item_table, user_table

FALLBACK = ["i0", "i39", "i1", "i38", "i2", "i37"]  # fresh and popular in turns
NOW = datetime.now(UTC)


def feed(client, user="user-1", headers=None, **query):
    answer = client.get(f"/v1/users/{user}/home-feed", params=query, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(page):
    return [item["item_id"] for item in page["items"]]


def post(client, *rows):
    rows = [{"timestamp": "2017-03-02T00:00:00Z", "user_id": "user-1", "action": "click", **row} for row in rows]
    receipt = client.post("/v1/events", json={"events": rows}).json()
    assert receipt["errors"] == []


class TestProfiled:
    def test_has_the_documented_fields(self, client, lake):
        page = feed(client, limit=2)
        assert page.keys() == {
            *("user_id", "request_id", "release", "reduced_to", "personalized", "reason", "items", "cursor")
        }
        assert page["reduced_to"] is None
        assert (page["user_id"], page["personalized"], page["reason"]) == ("user-1", True, None)
        assert page["release"] == (lake.releases / "current").read_text().strip()
        assert page["items"][0].keys() == {
            *("item_id", "rank", "score", "source", "explanation", "title", "creator_id", "url", "image_url"),
            "propensity",
        }

    def test_names_the_request_as_its_header_does(self, client):
        answers = [client.get("/v1/users/user-1/home-feed") for _ in range(2)]
        ids = [answer.json()["request_id"] for answer in answers]
        assert ids == [answer.headers["X-Request-Id"] for answer in answers]
        assert ids[0] != ids[1]

    def test_is_ordered_by_taste(self, client):
        page = feed(client, limit=200)
        release = client.app.state.release_loader.get()
        near = release.items.vectors @ release.users.vectors[1]
        rows = [int(item[1:]) for item in ids(page)]
        assert near[rows[:5]].mean() > near[rows[-5:]].mean()
        assert [item["rank"] for item in page["items"]] == list(range(1, len(rows) + 1))

    def test_never_repeats_the_history_and_is_shorter_not_padded(self, client):
        page = feed(client, limit=200)
        assert sorted(ids(page)) == sorted(f"i{row}" for row in range(N_ITEMS) if row not in (8, 9))
        assert page["cursor"] is None

    def test_requests_at_once_are_ranked_one_after_the_other(self, client, monkeypatch):
        at_once, running = [], []

        def slow(*arguments, **options):
            running.append(1)
            at_once.append(len(running))
            time.sleep(0.05)
            running.pop()
            return rank_users(*arguments, **options)

        monkeypatch.setattr("serving.feed.rank_users", slow)
        home = client.app.state.home_feed
        with ThreadPoolExecutor(4) as pool:
            served = list(pool.map(lambda row: home.served(FeedRequest(f"user-{row}", 5)), range(4)))
        assert at_once == [1] * 4
        waits = sorted(stage.seconds for each in served for stage in each.stages if stage.name == "queue")
        assert waits[0] < 0.05 < 0.1 < waits[-1], "the last one waited for three others"

    def test_explains_each_item(self, client):
        similar = [item["explanation"] for item in feed(client)["items"] if item["explanation"]["kind"] == "similar"]
        named = [e for e in similar if e["item_id"]]
        assert {(e["item_id"], e["title"], e["action"]) for e in named} == {
            ("i8", "Title 8", "save"),
            ("i9", "Title 9", "click"),
        }
        saved = next(e for e in named if e["action"] == "save")
        assert saved["text"] == "Because you saved “Title 8”"
        assert all(0.3 <= e["similarity"] <= 1 for e in named)

    def test_names_no_item_that_is_hardly_alike(self, client):
        explanations = [item["explanation"] for item in feed(client, limit=200)["items"]]
        far = [e for e in explanations if e["item_id"] is None]
        assert {e["kind"] for e in far} <= {"fresh", "trending", "similar"}
        assert {e["text"] for e in far if e["kind"] == "similar"} <= {"Suggested by what you read and save"}

    def test_what_was_just_clicked_saved_or_hidden_is_not_shown_again(self, client):
        first = ids(feed(client))[:4]
        actions = ["click", "save", "hide", "impression"]
        post(client, *({"item_id": item, "action": action} for item, action in zip(first, actions, strict=True)))
        after = ids(feed(client))
        assert set(first) & set(after) == {first[3]}
        assert set(first) <= set(ids(feed(client, user="user-2", limit=200))) | {"i16", "i17"}

    def test_keeps_creators_apart(self, client):
        creators = [item["creator_id"] for item in feed(client, limit=20)["items"]]
        for start in range(11):
            window = creators[start : start + 10]
            assert max(window.count(creator) for creator in window) <= 3


class TestPages:
    @pytest.mark.parametrize("user", ["user-1", "stranger"])
    def test_make_up_the_whole_list(self, client, user):
        whole, pages, cursor = feed(client, user=user, limit=200), [], None
        while True:
            page = feed(client, user=user, limit=7, **({"cursor": cursor} if cursor else {}))
            pages += page["items"]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert pages == whole["items"]

    def test_a_click_between_two_pages_neither_repeats_nor_skips(self, client):
        whole = ids(feed(client, limit=200))
        first = feed(client, limit=10)
        post(client, {"item_id": whole[3]}, {"item_id": whole[12]})
        second = feed(client, limit=10, cursor=first["cursor"])
        assert ids(second) == [item for item in whole[10:21] if item != whole[12]]
        assert second["items"][0]["rank"] == 11
        assert whole[3] not in ids(feed(client, limit=200))

    def test_an_opt_out_between_two_pages_starts_the_fallback_list(self, client):
        cursor = feed(client, limit=10)["cursor"]
        client.put("/v1/opt-outs/user/user-1/personalization")
        assert ids(feed(client, limit=6, cursor=cursor)) == FALLBACK

    def test_an_opt_out_or_in_of_items_between_two_pages_neither_repeats_nor_skips(self, client):
        whole = ids(feed(client, limit=200))
        for path in (f"item/{whole[1]}", f"item/{whole[12]}"):
            client.put(f"/v1/opt-outs/{path}/recommendation")
        pages, cursor = [], None
        for item in (whole[0], whole[20]):  # out while a page is shown, and in again after it
            client.put(f"/v1/opt-outs/item/{item}/recommendation")
            page = feed(client, limit=10, **({"cursor": cursor} if cursor else {}))
            client.delete(f"/v1/opt-outs/item/{item}/recommendation")
            pages, cursor = pages + ids(page), page["cursor"]
        pages += ids(feed(client, limit=200, cursor=cursor))
        assert sorted(pages) == sorted(set(whole) - {whole[1], whole[12]})

    @pytest.mark.parametrize("cursor", ["x", "%%%", "e30", "bm90aGluZw", "eyJyZWxlYXNlIjoxfQ", "é"])
    def test_refuse_a_cursor_that_no_feed_gave_out(self, client, cursor):
        answer = client.get("/v1/users/user-1/home-feed", params={"cursor": cursor})
        assert answer.status_code == 400
        assert answer.json()["detail"] == "this cursor was not given out by a feed; leave it out to start at the top"


def walked(client, between, user="user-1", limit=7, **query):
    """All pages of a list, with something happening before each but the first."""
    pages = [feed(client, user=user, limit=limit, **query)]
    while (cursor := pages[-1]["cursor"]) is not None:
        between(len(pages))
        pages.append(feed(client, user=user, limit=limit, cursor=cursor, **query))
    return pages


class TestPagesAcrossReleases:
    """A cursor holds across a release switch: no item comes twice, ranks go on."""

    @pytest.mark.parametrize("user", ["user-1", "stranger"])
    def test_no_item_comes_twice_and_ranks_go_on(self, client, lake, user):
        def another_night(page):
            lake.publish(seed=page, keep=1)  # the release of the cursor is not even on disk
            client.app.state.release_loader.load_first()

        pages = walked(client, another_night, user=user)
        assert len({page["release"] for page in pages}) == len(pages)
        shown = [item for page in pages for item in page["items"]]
        assert [item["rank"] for item in shown] == list(range(1, len(shown) + 1))
        assert len({item["item_id"] for item in shown}) == len(shown)
        assert {item["item_id"] for item in shown} == set(ids(feed(client, user=user, limit=200)))

    def test_the_creators_of_the_last_pages_count_in_the_next_one(self, client, lake):
        def another_night(page):
            lake.publish(seed=page, keep=1)
            client.app.state.release_loader.load_first()

        creators = [item["creator_id"] for page in walked(client, another_night, limit=5)[:5] for item in page["items"]]
        for start in range(len(creators) - 9):
            window = creators[start : start + 10]
            assert max(window.count(creator) for creator in window) <= 3

    def test_a_new_process_goes_on_as_well(self, client, lake):
        first = feed(client, limit=10)
        lake.publish(seed=1)
        with TestClient(create_app(lake.settings()), base_url="http://localhost") as other:
            second = feed(other, limit=10, cursor=first["cursor"])
            whole = ids(feed(other, limit=200))
        assert set(ids(second)) <= set(whole) - set(ids(first))
        assert [item["rank"] for item in second["items"]] == list(range(11, 21))

    def test_opt_outs_of_the_moment_hold(self, client, lake):
        first = feed(client, limit=10)
        lake.publish(seed=1)
        client.app.state.release_loader.load_first()
        left = [item for item in ids(feed(client, limit=200)) if item not in ids(first)]
        client.put(f"/v1/opt-outs/item/{left[0]}/recommendation")
        client.put("/v1/opt-outs/creator/c3/recommendation")
        rest = feed(client, limit=200, cursor=first["cursor"])
        assert left[0] not in ids(rest)
        assert "c3" not in {item["creator_id"] for item in rest["items"]}
        client.put("/v1/opt-outs/user/user-1/personalization")
        page = feed(client, limit=6, cursor=first["cursor"])
        assert page["items"][0]["rank"] == 1
        assert ids(page) == ids(feed(client, user="stranger", limit=6))  # nothing of the profile is left in it

    def test_global_privacy_control_starts_the_fallback_list(self, client, lake):
        cursor = feed(client, limit=10)["cursor"]
        lake.publish(seed=1)
        client.app.state.release_loader.load_first()
        assert ids(feed(client, limit=6, cursor=cursor, headers={"Sec-GPC": "1"})) == FALLBACK

    def test_pages_without_the_profile_do_not_hide_that_the_first_one_was_personalized(self, client, lake):
        cursor = feed(client, limit=10)["cursor"]
        for path in lake.folder.glob("pending_events.db*"):
            path.write_bytes(b"garbage" * 1000)
        for rank in (11, 15):
            page = feed(client, limit=4, cursor=cursor)
            assert (page["reason"], page["items"][0]["rank"]) == ("event_store_unavailable", rank)
            cursor = page["cursor"]
        assert ids(feed(client, limit=6, cursor=cursor, headers={"Sec-GPC": "1"})) == FALLBACK
        client.put("/v1/opt-outs/user/user-1/personalization")
        assert ids(feed(client, limit=6, cursor=cursor)) == FALLBACK

    def test_the_erasure_of_others_changes_nothing(self, client, lake):
        first = feed(client, limit=10)
        whole = ids(feed(client, limit=200))
        erase_users(lake.releases, ["user-2"])
        client.app.state.release_loader.load_first()
        rest = feed(client, limit=200, cursor=first["cursor"])
        assert (ids(rest), rest["items"][0]["rank"]) == (whole[10:], 11)
        assert rest["release"] != first["release"]

    def test_a_user_missing_from_the_new_release_goes_on_with_the_fallback_list(self, client, lake):
        first = feed(client, limit=10)
        lake.publish(seed=1, users=without_users(user_table(item_table(1)), np.arange(5) == 1))
        client.app.state.release_loader.load_first()
        rest = feed(client, limit=200, cursor=first["cursor"])
        assert (rest["reason"], rest["items"][0]["rank"]) == ("unknown_user", 11)
        assert not set(ids(rest)) & set(ids(first))

    def test_a_list_too_long_to_be_named_goes_on_in_its_release_alone(self, client, lake, monkeypatch):
        monkeypatch.setattr("serving.cursor.MAX_SHOWN", 10)
        whole = feed(client, limit=200)["items"]
        pages = walked(client, lambda _: None)
        assert [item for page in pages for item in page["items"]] == whole
        lake.publish(seed=1)
        client.app.state.release_loader.load_first()
        second = feed(client, limit=7, cursor=pages[0]["cursor"])
        assert second["items"][0]["rank"] == 8
        # its position in the second release does not cover the items that the first one showed
        assert client.get("/v1/users/user-1/home-feed", params={"cursor": second["cursor"]}).status_code == 410
        answer = client.get("/v1/users/user-1/home-feed", params={"cursor": pages[2]["cursor"]})
        assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")
        assert answer.json()["detail"].endswith("too far down to go on; leave it out to start anew")

    def test_such_a_list_does_not_go_on_as_another_one_while_the_events_are_lost(self, client, lake, monkeypatch):
        monkeypatch.setattr("serving.cursor.MAX_SHOWN", 10)
        cursor = walked(client, lambda _: None)[2]["cursor"]
        for path in lake.folder.glob("pending_events.db*"):
            path.write_bytes(b"garbage" * 1000)
        assert client.get("/v1/users/user-1/home-feed", params={"cursor": cursor}).status_code == 410


class TestNotProfiled:
    @pytest.mark.parametrize(("user", "headers", "reason"), [
        ("stranger", {}, "unknown_user"),
        ("user-1", {"Sec-GPC": "1"}, "global_privacy_control"),
        ("stranger", {"Sec-GPC": "1"}, "global_privacy_control"),
    ])  # fmt: skip
    def test_is_the_fallback_list_with_a_reason(self, client, user, headers, reason):
        page = feed(client, user=user, headers=headers, limit=6)
        assert (page["personalized"], page["reason"]) == (False, reason)
        assert ids(page) == FALLBACK

    @pytest.mark.parametrize("flag", ["personalization", "erasure"])
    def test_opt_outs_hold_from_the_next_answer_on(self, client, flag):
        assert feed(client)["personalized"]
        assert client.put(f"/v1/opt-outs/user/user-1/{flag}").json()["opted_out"]
        page = feed(client, limit=6)
        assert (page["personalized"], page["reason"], ids(page)) == (False, "opted_out", FALLBACK)
        assert feed(client, user="user-2")["personalized"]
        client.delete(f"/v1/opt-outs/user/user-1/{flag}")
        assert feed(client)["personalized"]

    def test_opting_out_of_training_changes_nothing_in_the_feed(self, client):
        before = feed(client, limit=5)["items"]
        client.put("/v1/opt-outs/user/user-1/training")
        assert feed(client, limit=5)["items"] == before

    @pytest.mark.parametrize("header", ["0", "true", "", "11", "0,0", "0;1", "1;q=0"])
    def test_gpc_is_the_value_1_alone(self, client, header):
        assert feed(client, headers={"Sec-GPC": header})["personalized"]

    @pytest.mark.parametrize("values", [["0", "1"], ["1", "0"], ["0, 1"], ["1,0"], [" 1 "], ["0", "0, 1"]])
    def test_any_1_of_gpc_counts(self, client, values):
        headers = [("Sec-GPC", value) for value in values]
        assert feed(client, headers=headers)["reason"] == "global_privacy_control"
        assert "Your browser sends Global Privacy Control" in client.get("/?user_id=user-1", headers=headers).text

    def test_the_opt_out_store_is_lost(self, client, lake):
        assert feed(client)["personalized"]
        for path in lake.folder.glob("opt_outs.db*"):
            path.write_bytes(b"garbage" * 1000)
        page = feed(client, limit=6)
        assert (page["personalized"], page["reason"]) == (False, "opt_out_store_unavailable")
        assert ids(page) == FALLBACK
        assert "because the opt-outs cannot be read" in client.get("/?user_id=user-1").text

    def test_the_event_store_is_lost(self, client, lake):
        post(client, {"item_id": "i3"})
        for path in lake.folder.glob("pending_events.db*"):
            path.write_bytes(b"garbage" * 1000)
        assert feed(client)["reason"] == "event_store_unavailable"
        page = client.get("/?user_id=user-1").text
        assert "what was read today cannot be looked up" in page
        assert "opt-outs" not in page

    def test_explains_by_the_item_alone(self, client):
        explanations = [item["explanation"] for item in feed(client, user="stranger", limit=2)["items"]]
        assert [(e["kind"], e["text"]) for e in explanations] == [
            ("fresh", "New, from 1 March 2017"),
            ("trending", "Read by 39 people in the last week"),
        ]
        assert {e["item_id"] for e in explanations} == {None}

    def test_languages_of_the_reader_on_request(self, client):
        portuguese = {"Accept-Language": "pt-BR, fr;q=0.5, en;q=0"}
        assert ids(feed(client, user="stranger", headers=portuguese, limit=6)) == FALLBACK
        page = feed(client, user="stranger", headers=portuguese, language="auto", limit=4)
        assert ids(page) == ["i39", "i1", "i37", "i3"]
        assert (
            ids(feed(client, user="stranger", language="auto", headers={"Accept-Language": "*"}, limit=6)) == FALLBACK
        )
        assert ids(feed(client, user="stranger", language="auto", headers={"Accept-Language": "ja"})) == []
        for headers in ([("Accept-Language", "pt_BR")], [("Accept-Language", "fr"), ("Accept-Language", "pt")]):
            assert ids(feed(client, user="stranger", headers=headers, language="auto", limit=4)) == ids(page)

    def test_items_of_unknown_language_stay(self, client, lake):
        tags = {"i0": None, "i39": "pt_PT", "i1": "und", "i38": "", "i2": "en"}
        rows = [{**row, "language": tags.get(row["item_id"], "fr")} for row in catalogue().to_pylist()]
        lake.publish(seed=1, catalogue=pa.Table.from_pylist(rows, schema=ITEMS))
        client.app.state.release_loader.load_first()
        page = feed(client, user="stranger", language="auto", headers={"Accept-Language": "pt-BR"})
        assert ids(page) == ["i0", "i39", "i1", "i38"]


class Unreadable:
    """A table of users that may not be read."""

    def __init__(self, users):
        self.ids = users.ids

    def __getattr__(self, name):
        raise AssertionError(f"users.{name} was read")


class TestNothingOfTheUserIsRead:
    @pytest.fixture(autouse=True)
    def no_profiles(self, client, monkeypatch):
        def unreadable(*_, **__):
            raise AssertionError("the interactions of the user were read")

        client.put("/v1/opt-outs/user/user-2/training")  # the store exists
        release = client.app.state.release_loader.get()
        object.__setattr__(release, "users", Unreadable(release.users))
        object.__setattr__(release, "impressions", Unreadable(release.users))
        monkeypatch.setattr(client.app.state.event_store, "recent_interactions", unreadable)

    def test_once_opted_out(self, client):
        client.put("/v1/opt-outs/user/user-1/personalization")
        assert feed(client)["reason"] == "opted_out"

    def test_with_global_privacy_control(self, client):
        assert feed(client, headers={"Sec-GPC": "1"})["reason"] == "global_privacy_control"

    def test_while_the_store_cannot_be_read(self, client, lake):
        for path in lake.folder.glob("opt_outs.db*"):
            path.write_bytes(b"garbage" * 1000)
        assert feed(client)["reason"] == "opt_out_store_unavailable"

    def test_and_this_test_would_notice(self, client):
        with pytest.raises(AssertionError, match=r"(was|were) read"):
            feed(client)


class TestExcludedItems:
    @pytest.mark.parametrize("user", ["user-1", "stranger"])
    def test_an_item_that_opted_out_is_in_no_feed(self, client, user):
        shown = ids(feed(client, user=user, limit=3))[1]
        client.put(f"/v1/opt-outs/item/{shown}/recommendation")
        assert shown not in ids(feed(client, user=user, limit=200))

    @pytest.mark.parametrize("user", ["user-1", "stranger"])
    def test_a_creator_who_opted_out_is_in_no_feed(self, client, user):
        client.put("/v1/opt-outs/creator/c3/recommendation")
        creators = {item["creator_id"] for item in feed(client, user=user, limit=200)["items"]}
        assert creators == {"c0", "c1", "c2", "c4"}

    def test_they_stay_away_while_the_store_cannot_be_read(self, client, lake):
        client.put("/v1/opt-outs/item/i0/recommendation")
        feed(client)
        for path in lake.folder.glob("opt_outs.db*"):
            path.write_bytes(b"garbage" * 1000)
        page = feed(client)
        assert page["reason"] == "opt_out_store_unavailable"
        assert "i0" not in ids(page)

    def test_an_opted_out_item_is_no_reason_for_another(self, client):
        client.put("/v1/opt-outs/item/i8/recommendation")
        assert "i8" not in {item["explanation"]["item_id"] for item in feed(client, limit=200)["items"]}

    def test_removed_items_are_not_shown_from_the_instant_on(self, client, lake):
        removed = {"i0": NOW - timedelta(hours=1), "i39": NOW + timedelta(hours=1)}
        rows = [{**row, "removed_at": removed.get(row["item_id"])} for row in catalogue().to_pylist()]
        lake.publish(seed=1, catalogue=pa.Table.from_pylist(rows, schema=ITEMS))
        client.app.state.release_loader.load_first()
        for user in ("user-2", "stranger"):
            shown = ids(feed(client, user=user, limit=200))
            assert "i0" not in shown
            assert "i39" in shown


def test_no_user_id_in_any_log(client, caplog):
    caplog.set_level("DEBUG")
    feed(client, user="user-1")
    client.put("/v1/opt-outs/user/user-1/personalization")
    feed(client, user="user-1")
    client.get("/", params={"user_id": "user-1"})
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx2")
    assert "GET /v1/users/{user_id}/home-feed 200" in ours
    assert "user-1" not in ours


def test_scores_are_finite_numbers(client):
    scores = [item["score"] for item in feed(client, limit=200)["items"]]
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("asked", ["42", "42.0"])
@pytest.mark.parametrize("known", ["42", "42.0"])
def test_either_spelling_of_an_id_is_one_user(client, lake, asked, known):
    contents = item_table()
    users = replace(user_table(contents), ids=ids_of([known, "u1", "u2", "u3", "u4"]))
    lake.publish(users=users)
    client.app.state.release_loader.load_first()
    page = feed(client, user=asked)
    assert page["personalized"]
    post(client, {"user_id": "42", "item_id": ids(page)[0]})
    assert ids(page)[0] not in ids(feed(client, user=asked, limit=200))
    client.put("/v1/opt-outs/user/42.0/personalization")
    assert feed(client, user=asked)["reason"] == "opted_out"
