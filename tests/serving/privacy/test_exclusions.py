"""The cached exclusions of the opt-out store."""

from datetime import UTC, datetime, timedelta

from contracts.instants import CLOCK_SKEW
from serving.privacy.exclusions import CachedExclusions, Exclusions, read_exclusions
from serving.privacy.opt_out_records import insert_records
from serving.privacy.store_identity import StoreIdentity

AT = datetime(2017, 3, 1, 12, tzinfo=UTC)
WHOLE = StoreIdentity("a", changes=5, exclusion_changes=2, expected_rows=3, at=AT, rows=3)


def test_cached_exclusions_are_valid_until_an_item_changes_or_a_record_becomes_active():
    cached = CachedExclusions("a", changes=2, valid_until=None, exclusions=Exclusions())
    assert cached.is_valid(WHOLE)
    assert not cached.is_valid(None)
    assert not CachedExclusions("b", 2, None, Exclusions()).is_valid(WHOLE)
    assert not CachedExclusions("a", 1, None, Exclusions()).is_valid(WHOLE)
    for hours, is_valid in ((1, True), (-1, False)):
        until = datetime.now(UTC) + timedelta(hours=hours)
        assert CachedExclusions("a", 2, until, Exclusions()).is_valid(WHOLE) is is_valid


def test_exclusions_are_read_again_when_an_opt_out_becomes_active_a_day_before_its_instant(connection):
    at = datetime.now(UTC) + timedelta(hours=30)
    insert_records(connection, {(("item", "i1", "recommendation"), at): True})
    assert read_exclusions(connection, WHOLE).valid_until == at - CLOCK_SKEW


def test_exclusions_are_read_again_when_an_opt_in_becomes_active_at_its_instant(connection):
    at = datetime.now(UTC) + timedelta(hours=30)
    insert_records(connection, {(("item", "i1", "recommendation"), at): False})
    assert read_exclusions(connection, WHOLE).valid_until == at
