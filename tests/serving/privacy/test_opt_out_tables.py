"""Identity, marker and active records of the opt-out store."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts import Flag, SubjectType
from contracts.errors import BadId, UnknownOptOut
from serving.privacy.opt_out_tables import (
    METADATA,
    OPT_OUTS,
    CachedExclusions,
    Exclusions,
    Marker,
    StoreIdentity,
    active_flags,
    all_spellings,
    canonical,
    count_records,
    insert_records,
    newest_active,
    stored_id,
    subject_type_of,
)
from serving.stores.sql_store import create_tables, open_engine

AT = datetime(2017, 3, 1, 12, tzinfo=UTC)
WHOLE = StoreIdentity("a", changes=5, exclusion_changes=2, expected_rows=3, at=AT, rows=3)
TRAINING = ("user", "ann", "training")


@pytest.fixture
def connection(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/opt_outs.db")
    create_tables(engine, METADATA)
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(("marker", "counted", "problem"), [
    (None, True, None),
    (Marker(identity="a", changes=5, at=AT), True, None),
    (Marker(identity="a", changes=4, at=AT), True, None),  # a kill left the marker behind
    (Marker(identity="b", changes=5, at=AT), True, "is another store than the one this lake had"),
    (Marker(identity="a", changes=7, at=AT), True, "is older than what was written to it (it has 5 changes, 7 were "
     "written until 2017-03-01 12:00:00 UTC)"),
])  # fmt: skip
def test_a_store_is_compared_with_its_marker(marker, counted, problem):
    assert WHOLE.problem(marker, counted=counted) == problem


@pytest.mark.parametrize(("rows", "counted", "is_whole"), [
    (3, True, True), (4, True, True), (2, True, False), (1, False, True), (0, False, False),
])  # fmt: skip
def test_missing_rows(rows, counted, is_whole):
    store = StoreIdentity("a", changes=5, exclusion_changes=2, expected_rows=3, at=AT, rows=rows)
    assert store.problem(None, counted=counted) == (None if is_whole else "lacks rows (it had 3)")


def test_the_marker_file_keeps_its_public_names():
    text = WHOLE.marker.model_dump_json()
    assert text == '{"identity":"a","words":5,"at":"2017-03-01T12:00:00Z"}'
    assert Marker.model_validate_json(text) == WHOLE.marker


def test_cached_exclusions_are_valid_until_an_item_changes_or_a_record_becomes_active():
    cached = CachedExclusions("a", changes=2, valid_until=None, exclusions=Exclusions())
    assert cached.is_valid(WHOLE)
    assert not cached.is_valid(None)
    assert not CachedExclusions("b", 2, None, Exclusions()).is_valid(WHOLE)
    assert not CachedExclusions("a", 1, None, Exclusions()).is_valid(WHOLE)
    for hours, is_valid in ((1, True), (-1, False)):
        until = datetime.now(UTC) + timedelta(hours=hours)
        assert CachedExclusions("a", 2, until, Exclusions()).is_valid(WHOLE) is is_valid


@pytest.mark.parametrize(("hours", "opted_out", "is_active"), [
    (-1, True, True),
    (23, True, True),  # a clock in another zone may mean now
    (25, True, False),
    (-1, False, True),
    (1, False, False),  # an opt-in is never early
])  # fmt: skip
def test_when_a_record_is_active(connection, hours, opted_out, is_active):
    at = datetime.now(UTC) + timedelta(hours=hours)
    insert_records(connection, {(TRAINING, at): opted_out})
    assert newest_active(connection, OPT_OUTS.c.flag == "training") == (
        {TRAINING: (opted_out, at)} if is_active else {}
    )


def test_the_newest_record_counts(connection):
    insert_records(connection, {(TRAINING, AT): True, (TRAINING, AT + timedelta(seconds=1)): False})
    assert active_flags(connection, SubjectType.USER, "ann") == frozenset()
    insert_records(connection, {(TRAINING, AT + timedelta(seconds=2)): True})
    assert active_flags(connection, SubjectType.USER, "ann") == {Flag.TRAINING}
    assert count_records(connection) == 3


@pytest.mark.parametrize("first", [True, False])
def test_of_a_contradiction_the_opt_out_wins(connection, first):
    for opted_out in (first, not first):
        insert_records(connection, {(TRAINING, AT): opted_out})
    assert active_flags(connection, SubjectType.USER, "ann") == {Flag.TRAINING}
    assert count_records(connection) == 1


def test_spellings_of_an_id():
    assert canonical("42.0") == canonical("42") == "42"
    assert all_spellings(["42", "ann"]) == {"42", "42.0", "ann"}
    assert stored_id(SubjectType.USER, " 42.0 ") == "42"
    with pytest.raises(BadId, match="the id of the creator "):
        stored_id(SubjectType.CREATOR, "")


def test_subject_types():
    assert subject_type_of("creator") is SubjectType.CREATOR
    with pytest.raises(UnknownOptOut, match="unknown subject type 'robot'"):
        subject_type_of("robot")
