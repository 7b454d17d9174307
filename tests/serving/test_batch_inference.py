import numpy as np
import pytest

from contracts.errors import OptOutStoreUnavailable
from ranking.rank_users import RankingConfig
from ranking.slate import SlateConfig
from serving.batch_inference import LISTS, recommend
from serving.privacy.opt_out_store import OptOutStore
from serving.releases.publish import load
from serving.stores.event_store import EventStore
from tests.serving.tiny import N_ITEMS, N_USERS, publish_tiny


@pytest.fixture
def release(lake):
    return load(lake.releases)


@pytest.fixture
def opt_outs(tmp_path):
    store = OptOutStore(f"sqlite:///{tmp_path}/opt_outs.db", beside=[tmp_path])
    store.create()
    return store


def of(lists, user):
    return [row for row in lists.to_pylist() if row["user_id"] == user]


def test_all_users_by_default(release, opt_outs):
    lists = recommend(release, None, 7, opt_outs)
    assert lists.schema == LISTS
    assert lists["user_id"].to_pylist() == [f"user-{row}" for row in range(N_USERS) for _ in range(7)]
    assert lists["rank"].to_pylist() == list(range(1, 8)) * N_USERS


def test_agrees_with_the_feed(release, opt_outs, client):
    lists = recommend(release, None, 20, opt_outs)
    for user in ("user-0", "user-4"):
        shown = client.get(f"/v1/users/{user}/home-feed?limit=20").json()["items"]
        assert [(row["item_id"], row["source"]) for row in of(lists, user)] == [
            (item["item_id"], item["source"]) for item in shown
        ]
        assert [row["score"] for row in of(lists, user)] == pytest.approx([item["score"] for item in shown])


def test_the_limit_of_common_items_is_that_of_the_release(opt_outs, tmp_path):
    lists = {}
    common = np.zeros(N_ITEMS, np.float32)
    for limit in (0, 1):
        slate = SlateConfig(per_creator=0, per_common=limit, common_discount=0)
        root = tmp_path / f"limit-{limit}"
        publish_tiny(root, tmp_path / "builds", exposure=common, ranking=RankingConfig(slate=slate))
        lists[limit] = [row["item_id"] for row in of(recommend(load(root), ["user-1"], 10, opt_outs), "user-1")]
        common[[int(item[1:]) for item in lists[0][:3]]] = (
            1  # in the second release, every user would have the first three
        )
    assert [item for item in lists[1] if item in lists[0][:3]] == lists[0][:1]


def test_asked_users_in_their_order_each_once(release, opt_outs):
    lists = recommend(release, ["user-3", "stranger", "user-1", "user-3"], 2, opt_outs)
    assert lists["user_id"].to_pylist() == ["user-3"] * 2 + ["stranger"] * 2 + ["user-1"] * 2


@pytest.mark.parametrize("flag", ["personalization", "erasure"])
def test_opted_out_and_unknown_users_get_the_fallback_list(release, opt_outs, flag):
    opt_outs.set("user", "user-1", flag)
    lists = recommend(release, ["user-1", "stranger", "user-2"], 4, opt_outs)
    for user in ("user-1", "stranger"):
        assert [row["item_id"] for row in of(lists, user)] == ["i0", "i39", "i1", "i38"]
        assert {row["source"] for row in of(lists, user)} == {"fresh", "popular"}
    assert "two_tower" in {row["source"] for row in of(lists, "user-2")}


def test_withheld_items_are_in_no_list(release, opt_outs):
    opt_outs.set("item", "i0", "recommendation")
    opt_outs.set("creator", "c4", "recommendation")
    items = set(recommend(release, ["user-1", "stranger"], 100, opt_outs)["item_id"].to_pylist())
    assert items.isdisjoint({"i0", *(f"i{row}" for row in range(4, N_ITEMS, 5))})


def test_k_beyond_the_catalogue(release, opt_outs):
    lists = recommend(release, ["user-1"], 1000, opt_outs)
    assert sorted(lists["item_id"].to_pylist()) == sorted(f"i{row}" for row in range(N_ITEMS) if row not in (8, 9))


def test_no_user(release, opt_outs):
    assert recommend(release, [], 5, opt_outs).num_rows == 0


def test_what_was_posted_since_is_left_out(release, opt_outs, tmp_path):
    pending = EventStore(f"sqlite:///{tmp_path}/pending.db")
    first = recommend(release, ["user-1"], 1, opt_outs)["item_id"][0].as_py()
    event = {"user_id": "user-1", "item_id": first, "action": "hide", "timestamp": release.manifest.as_of}
    pending.add([event])
    lists = recommend(release, None, 1000, opt_outs, events=pending)
    assert first not in {row["item_id"] for row in of(lists, "user-1")}
    assert first in set(lists["item_id"].to_pylist())


def test_without_the_opt_outs_no_list_is_made(release, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptOutStoreUnavailable, match="the opt-out store"):
        recommend(release, None, 5, OptOutStore(f"sqlite:///{tmp_path}/file/opt_outs.db", beside=[tmp_path]))
