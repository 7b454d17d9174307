"""The opt-out service keeps posted events consistent with the flags; races have a test of their own."""

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from contracts import Flag, OptOut, SubjectType
from contracts.errors import EventStoreUnavailable
from serving.privacy.opt_out_service import OptOutService
from serving.stores.event_store import user_hash


@pytest.fixture
def service(lake):
    with closing(OptOutService.of(lake.settings())) as service:
        yield service


def event(user: str, item: str = "i1") -> dict[str, object]:
    return {"user_id": user, "item_id": item, "action": "click", "timestamp": datetime(2017, 3, 2, tzinfo=UTC)}


def users_with_events(service: OptOutService) -> list[str]:
    return sorted(service.events.rows()["user_id"].to_pylist())


def erasure(user: str, *, opted_out: bool = True, at: datetime | None = None) -> OptOut:
    return OptOut(SubjectType.USER, user, Flag.ERASURE, opted_out, at or datetime.now(UTC))


def test_erasure_drops_posted_events_and_accepts_no_more(service):
    service.events.add([event("ann"), event("bob")])
    assert service.opt_out("user", "ann", "erasure").opted_out
    assert users_with_events(service) == ["bob"]
    assert service.events.add([event("ann")]).erased == {"ann"}
    assert service.erased() == {"ann"}


@pytest.mark.parametrize("flag", ["personalization", "training"])
def test_other_flags_leave_posted_events_alone(service, flag):
    service.events.add([event("ann")])
    service.opt_out("user", "ann", flag)
    assert users_with_events(service) == ["ann"]


def test_a_withdrawn_erasure_accepts_events_again(service):
    service.opt_out("user", "ann", "erasure")
    service.opt_in("user", "ann", "erasure")
    assert service.events.add([event("ann")]).erased == frozenset()
    assert users_with_events(service) == ["ann"]
    assert service.erased() == frozenset()


def test_either_spelling_of_an_id_is_erased(service):
    service.events.add([event("42"), event("42.0", "i2"), event("421")])
    service.opt_out("user", "42.0", "erasure")
    assert users_with_events(service) == ["421"]


def test_many_records_at_once(service):
    service.events.add([event("ann"), event("bob"), event("eve")])
    service.opt_out("user", "eve", "erasure")
    later = datetime.now(UTC) + timedelta(days=3)
    records = [erasure("ann"), erasure("bob", at=later), erasure("eve", opted_out=False)]
    assert service.load(records) == 3
    assert users_with_events(service) == ["bob"]  # bob's erasure is not active yet
    assert service.events.tombstones().keys() == {user_hash("ann")}


def test_reconcile_applies_flags_that_were_set_without_the_service(service):
    service.events.add([event("ann"), event("ann", "i2"), event("bob")])
    service.opt_outs.set("user", "ann", "erasure")
    assert service.reconcile() == 2
    assert users_with_events(service) == ["bob"]
    service.opt_outs.clear("user", "ann", "erasure")
    assert service.reconcile() == 0
    assert service.events.tombstones() == {}


def test_a_repeated_call_completes_an_erasure(service, monkeypatch):
    service.events.add([event("ann")])

    def unavailable(_users: list[str]) -> int:
        raise EventStoreUnavailable("the store of posted events cannot be used")

    with monkeypatch.context() as patch:
        patch.setattr(type(service.events), "erase", lambda _self, users: unavailable(users))
        with pytest.raises(EventStoreUnavailable, match=r"the opt-out holds, but posted events remain: .*set it again"):
            service.opt_out("user", "ann", "erasure")
    assert service.erased() == {"ann"}  # the flag is set first
    service.opt_out("user", "ann", "erasure")
    assert users_with_events(service) == []
