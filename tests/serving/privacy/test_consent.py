"""The consent check, with the tiny release: `user-1` clicked and saved, `stranger` is unknown."""

import gc
from contextlib import closing
from datetime import UTC, datetime, timedelta
from weakref import ref

import numpy as np
import pytest

from serving.privacy.active_opt_outs import ActiveOptOuts
from serving.privacy.consent import ConsentGate, NotPersonalized, excluded_items, rows_of
from serving.privacy.opt_out_service import OptOutService
from serving.releases import publish
from tests.serving.tiny import AS_OF, N_ITEMS

NONE = ActiveOptOuts(frozenset(), frozenset(), frozenset())


@pytest.fixture
def release(published):
    return publish.load(published)


@pytest.fixture
def service(lake):
    with closing(OptOutService.of(lake.settings())) as service:
        yield service


@pytest.fixture
def gate(service):
    return ConsentGate(service.opt_outs, service.events)


def test_a_known_user_gets_a_row_and_recent_interactions(gate, service, release):
    event = {"user_id": "user-1", "item_id": "i3", "action": "click", "timestamp": datetime.now(UTC)}
    service.events.add([event])
    context = gate.user_context(release, "user-1", gpc=False)
    assert (context.user_row, context.reason) == (1, None)
    assert [interaction.item_id for interaction in context.recent_interactions] == ["i3"]


@pytest.mark.parametrize(("user", "gpc", "reason"), [
    ("user-1", True, NotPersonalized.GLOBAL_PRIVACY_CONTROL),
    ("stranger", False, NotPersonalized.UNKNOWN_USER),
    (None, False, NotPersonalized.NO_USER),
    (None, True, NotPersonalized.NO_USER),
])  # fmt: skip
def test_without_consent_or_vector_there_is_no_row(gate, release, user, gpc, reason):
    context = gate.user_context(release, user, gpc=gpc)
    assert (context.user_row, context.reason, context.recent_interactions) == (None, reason, ())


@pytest.mark.parametrize("flag", ["personalization", "erasure"])
def test_an_opt_out_comes_before_global_privacy_control(gate, service, release, flag):
    service.opt_out("user", "user-1", flag)
    assert gate.user_context(release, "user-1", gpc=True).reason is NotPersonalized.OPTED_OUT


@pytest.mark.parametrize("flag", ["personalization", "erasure"])
def test_an_opt_out_among_many_users_concerns_one(gate, service, release, flag):
    service.opt_out("user", "user-1", flag)
    contexts = gate.user_contexts(release, ["user-1", "user-2", "stranger"], gpc=False)
    assert {user: (context.user_row, context.reason) for user, context in contexts.items()} == {
        "user-1": (None, NotPersonalized.OPTED_OUT),
        "user-2": (2, None),
        "stranger": (None, NotPersonalized.UNKNOWN_USER),
    }


def test_an_opt_out_of_training_is_no_opt_out_of_the_feed(gate, service, release):
    service.opt_out("user", "user-1", "training")
    assert gate.user_context(release, "user-1", gpc=False).reason is None


def test_a_lost_opt_out_store_closes_the_gate_and_keeps_the_exclusions(gate, service, release, lake):
    service.opt_out("item", "i0", "recommendation")
    for path in lake.folder.glob("opt_outs.db*"):
        path.unlink()
    context = gate.user_context(release, "user-1", gpc=False)
    assert (context.user_row, context.reason) == (None, NotPersonalized.OPT_OUT_STORE_UNAVAILABLE)
    assert context.opt_outs.items == {"i0"}


def test_a_lost_event_store_closes_the_gate(gate, service, release, lake):
    service.events.rows()
    for path in lake.folder.glob("pending_events.db*"):
        path.write_bytes(b"garbage" * 1000)
    assert gate.user_context(release, "user-1", gpc=False).reason is NotPersonalized.EVENT_STORE_UNAVAILABLE


def test_items_are_excluded_by_id_and_by_creator(release):
    assert not excluded_items(release, NONE, AS_OF).any()
    opt_outs = ActiveOptOuts(frozenset(), frozenset({"i1", "unknown"}), frozenset({"c3", "unknown"}))
    rows = np.flatnonzero(excluded_items(release, opt_outs, AS_OF)).tolist()
    assert rows == sorted({1, *range(3, N_ITEMS, 5)})  # creator `c<row % 5>`


def test_an_item_is_excluded_from_the_instant_of_its_removal(lake):
    release = publish.load(lake.releases)
    hours = AS_OF.timestamp() / 3600
    release.__dict__["removed_hours"] = np.where(np.arange(N_ITEMS) == 2, hours, np.inf)
    release.__dict__.pop("removals")
    assert not excluded_items(release, NONE, AS_OF - timedelta(seconds=1)).any()
    excluded = excluded_items(release, NONE, AS_OF)
    assert np.flatnonzero(excluded).tolist() == [2]
    # requests between two changes share one array: with a million items, to compute it takes a millisecond
    assert excluded_items(release, NONE, AS_OF + timedelta(hours=1)) is excluded
    with pytest.raises(ValueError, match="read-only"):
        excluded[0] = True


def test_a_release_that_answered_leaves_memory_when_it_is_replaced(lake):
    release = publish.load(lake.releases)
    excluded_items(release, ActiveOptOuts(frozenset(), frozenset({"i1"}), frozenset()), AS_OF)
    replaced = ref(release)
    del release
    gc.collect()
    assert replaced() is None, "an idle process would keep two copies, and users who were erased"


def test_rows_of_skips_unknown_items(release):
    assert rows_of(release, ["i4", "unknown", "i0"]) == [4, 0]
