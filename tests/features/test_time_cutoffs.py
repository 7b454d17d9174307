from datetime import datetime, timedelta

import pytest

from contracts.errors import NaiveTime
from features.time_cutoffs import after_cutoffs, before_cutoffs, items_at_cutoffs

SECOND = 1 / 3600


def seen(rows):
    return [(row["cut"], row["event_id"]) for row in rows]


def test_an_event_is_seen_by_every_later_cutoff(events, rows, cutoff):
    earlier = cutoff - timedelta(days=7)
    frame = before_cutoffs(
        events(("ana", "click", "x", -200), ("ana", "click", "x", -SECOND), ("ana", "click", "x", 0)), [earlier, cutoff]
    )
    assert sorted(seen(rows(frame))) == [(earlier, "e0"), (cutoff, "e0"), (cutoff, "e1")]


def test_a_label_window_holds_its_first_instant_and_not_its_last(events, rows, cutoff):
    frame = events(*(("ana", "click", "x", hours) for hours in (-SECOND, 0, 24 * 7 - SECOND, 24 * 7)))
    assert sorted(seen(rows(after_cutoffs(frame, [cutoff], days=7)))) == [(cutoff, "e1"), (cutoff, "e2")]


def test_items_exist_once_created(items, rows, cutoff):
    frame = items_at_cutoffs(items(old={"created": -1}, unknown={}, now={"created": 0}), [cutoff])
    assert [row["item_id"] for row in rows(frame)] == ["old", "unknown"]


def test_no_cutoffs_no_rows(events, rows):
    assert rows(before_cutoffs(events(("ana", "click", "x", -1)), [])) == []


def test_a_cutoff_without_timezone_is_refused(events):
    with pytest.raises(NaiveTime, match=r"2024-03-29T00:00:00 has no timezone; pass datetime\(…, tzinfo=UTC\)"):
        before_cutoffs(events(), [datetime(2024, 3, 29)])  # noqa: DTZ001  the very mistake
