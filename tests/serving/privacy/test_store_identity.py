"""The identity of an opt-out store, compared with its marker."""

from datetime import UTC, datetime

import pytest

from serving.privacy.store_identity import Marker, StoreIdentity

AT = datetime(2017, 3, 1, 12, tzinfo=UTC)
WHOLE = StoreIdentity("a", changes=5, exclusion_changes=2, expected_rows=3, at=AT, rows=3)


@pytest.mark.parametrize(("marker", "counted", "problem"), [
    (None, True, None),
    (Marker(identity="a", changes=5, at=AT), True, None),
    (Marker(identity="a", changes=4, at=AT), True, None),  # a kill left the marker behind
    (Marker(identity="b", changes=5, at=AT), True, "is another store than the one this lake had"),
    (Marker(identity="a", changes=6, at=AT), True, "is older than what was written to it (it has 5 changes, 6 were "
     "written until 2017-03-01 12:00:00 UTC)"),
    (Marker(identity="a", changes=7, at=AT), True, "is older than what was written to it (it has 5 changes, 7 were "
     "written until 2017-03-01 12:00:00 UTC)"),
])  # fmt: skip
def test_a_store_is_compared_with_its_marker(marker, counted, problem):
    assert WHOLE.problem(marker, counted=counted) == problem


@pytest.mark.parametrize(("rows", "counted", "is_whole"), [
    (3, True, True), (4, True, True), (2, True, False), (1, False, True), (0, False, False),
])  # fmt: skip
def test_a_store_that_lacks_rows_is_named(rows, counted, is_whole):
    store = StoreIdentity("a", changes=5, exclusion_changes=2, expected_rows=3, at=AT, rows=rows)
    assert store.problem(None, counted=counted) == (None if is_whole else "lacks rows (it had 3)")


def test_the_marker_file_keeps_its_public_names():
    text = WHOLE.marker.model_dump_json()
    assert text == '{"identity":"a","words":5,"at":"2017-03-01T12:00:00Z"}'
    assert Marker.model_validate_json(text) == WHOLE.marker
