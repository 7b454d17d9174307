"""Which records of the opt-out store are active."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts import Flag, SubjectType
from serving.privacy.opt_out_records import active_flags, insert_records, newest_active
from serving.privacy.opt_out_tables import OPT_OUTS
from serving.privacy.store_identity import count_records

AT = datetime(2017, 3, 1, 12, tzinfo=UTC)
TRAINING = ("user", "ann", "training")


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
