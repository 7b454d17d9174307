"""The cached exclusions of the opt-out store."""

from datetime import UTC, datetime, timedelta

from serving.privacy.exclusions import CachedExclusions, Exclusions
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
