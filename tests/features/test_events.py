from datetime import UTC, datetime

import polars as pl
import pytest

from contracts import Reason
from contracts.errors import TooManyBadRows
from contracts.ids import is_id, read_id
from contracts.schemas import EVENTS, EVENTS_WITH_FILE, QUARANTINE
from features import BadShare, accept, bad_share, quarantine_counts, split, validate, with_reason
from pipeline.ingestion.readers import conform
from serving.stores.event_store import EventStore


@pytest.fixture(scope="module")
def raw_events(table, hours):
    """Raw events from dicts; the default is a good click of ana on x, an hour before the cutoff."""

    def build(*given):
        good = {"user_id": "ana", "item_id": "x", "action": "click", "timestamp": hours(-1), "landed_at": hours(-1)}
        good["file"] = "first"
        return table(EVENTS_WITH_FILE, [good | row for row in given])

    return build


@pytest.fixture(scope="module")
def validated(raw_events, items, users, rows, cutoff):
    def run(*given, opted_out=()):
        split = validate(raw_events(*given), items(x={}, y={}), as_of=cutoff, opted_out_users=users(*opted_out))
        return rows(split.events), rows(split.quarantine)

    return run


def reasons(quarantine):
    return {row["event_id"]: row["reason"] for row in quarantine}


def test_the_first_reason_that_applies(validated, hours):
    good, refused = validated(
        {"event_id": "good"},
        {"event_id": "no user", "user_id": None, "action": "stare"},
        {"event_id": "blank item", "item_id": " "},
        {"event_id": "no action", "action": None},
        {"event_id": "stare", "action": "stare", "timestamp": None},
        {"event_id": "timeless", "timestamp": None},
        {"event_id": "ancient", "timestamp": datetime(1989, 12, 31, 23, 59, 59, tzinfo=UTC), "item_id": "gone"},
        {"event_id": "impossible", "timestamp": hours(30)},
        {"event_id": "tomorrow", "timestamp": hours(1), "landed_at": hours(1)},
        {"event_id": "at the cutoff", "timestamp": hours(0)},
        {"event_id": "lost", "item_id": "gone"},
    )
    assert [row["event_id"] for row in good] == ["good"]
    assert list(good[0]) == EVENTS.names
    assert list(refused[0]) == QUARANTINE.names
    assert reasons(refused) == {
        "no user": "null_id",
        "blank item": "null_id",
        "no action": "unknown_action",
        "stare": "unknown_action",
        "timeless": "bad_timestamp",
        "ancient": "before_1990",
        "impossible": "in_the_future",
        "tomorrow": "after_as_of",
        "at the cutoff": "after_as_of",
        "lost": "unknown_item",
    }


def test_of_one_id_the_earliest_ingested_stays(validated, hours):
    good, refused = validated(
        {"event_id": "a", "item_id": "y", "landed_at": hours(-5)},
        {"event_id": "a", "item_id": "x", "landed_at": hours(-6)},
        {"event_id": "a", "item_id": "gone", "landed_at": hours(-4)},
        {"event_id": "b", "timestamp": hours(-3)},
        {"event_id": "b", "timestamp": hours(-2)},
        # refused for itself: does not stand in the way of the good event ingested later under the same id
        {"event_id": "c", "action": "stare", "landed_at": hours(-9)},
        {"event_id": "c"},
    )
    assert [(row["event_id"], row["item_id"], row["timestamp"]) for row in good] == [
        ("a", "x", hours(-1)),
        ("b", "x", hours(-3)),
        ("c", "x", hours(-1)),
    ]
    assert sorted((row["event_id"], row["reason"]) for row in refused) == [
        ("a", "duplicate_event_id"),
        ("a", "duplicate_event_id"),
        ("b", "duplicate_event_id"),
        ("c", "unknown_action"),
    ]


def test_an_id_is_derived_from_content(validated, hours):
    good, refused = validated(
        {},
        {"landed_at": hours(2)},  # the same content, ingested again
        {"event_id": ""},  # the same once more: a blank id is none
        {"timestamp": hours(-1).replace(microsecond=1)},
        {"session_id": "s"},
        {"session_id": "", "request_id": "s"},
        {"request_id": "s"},
    )
    assert len({row["event_id"] for row in good}) == len(good) == 5
    assert all(len(row["event_id"]) == 64 for row in good)
    assert [row["reason"] for row in refused] == ["duplicate_event_id"] * 2
    assert {row["event_id"] for row in refused} <= {row["event_id"] for row in good}


def test_what_is_no_id_is_refused_and_blanks_around_one_are_stripped(validated):
    good, refused = validated(
        {"event_id": "padded", "user_id": "\u3000ana\t", "item_id": " x\n", "action": " save"},
        {"event_id": "longest", "user_id": "u" * 512},
        {"event_id": "long", "user_id": "u" * 513},
        {"event_id": "nul", "user_id": "ana\0"},
        {"event_id": "newline", "user_id": "a\nna"},
        {"event_id": "long item", "item_id": "x" * 8020},
        {"event_id": "only blanks", "user_id": "\xa0\u2003"},
        {"event_id": "no action", "action": " "},
    )
    assert [(row["user_id"], row["item_id"], row["action"]) for row in good if row["event_id"] == "padded"] == [
        ("ana", "x", "save")
    ]
    assert [row["event_id"] for row in good] == ["longest", "padded"]
    assert reasons(refused) == {
        "long": "null_id",
        "nul": "null_id",
        "newline": "null_id",
        "long item": "null_id",
        "only blanks": "null_id",
        "no action": "unknown_action",
    }


@pytest.mark.parametrize(
    "value", ["ana", " 42 ", "a\x7f", "a\x85b", "u" * 512, "u" * 513, "\u3000", "é😀", "a b", "\x1f", ""]
)
def test_the_night_reads_an_id_as_every_other_entry_point_does(validated, value):
    good, _ = validated({"user_id": value})
    assert [row["user_id"] for row in good] == ([read_id(value)] if is_id(value) else [])


def test_an_item_gets_the_catalogues_spelling(raw_events, items, users, rows, cutoff):
    given = raw_events(
        *({"event_id": item, "item_id": item} for item in ("7", "7.0", "8", "8.0", "9", "9.0", "07.0", "x.0"))
    )
    catalogue = items(**{"7": {}, "8.0": {}, "9": {}, "9.0": {}, "x": {}, "07": {}})
    split = validate(given, catalogue, as_of=cutoff, opted_out_users=users())
    assert {row["event_id"]: row["item_id"] for row in rows(split.events)} == {
        "7": "7",
        "7.0": "7",
        "8": "8.0",
        "8.0": "8.0",
        "9": "9",  # both are in the catalogue: each is itself
        "9.0": "9.0",
    }
    assert {row["event_id"] for row in rows(split.quarantine)} == {"07.0", "x.0"}  # no integers: other ids


def test_an_opted_out_user_is_found_with_blanks_around(validated):
    good, refused = validated({"user_id": " olga "}, opted_out=["olga"])
    assert (good, refused) == ([], [])


def test_opted_out_users_are_in_neither_table(validated):
    good, refused = validated(
        {"user_id": "ana"},
        {"user_id": "olga"},
        {"user_id": "olga", "action": "stare"},
        {"user_id": None},
        opted_out=["olga", "olga"],
    )
    assert [row["user_id"] for row in good] == ["ana"]
    assert [row["user_id"] for row in refused] == [None]


def test_no_raw_events(validated):
    assert validated() == ([], [])


def test_an_event_that_is_posted_and_imported_is_one(spark, tmp_path, items, users, rows, cutoff):
    """Neither has an id: both get the same one, derived from the content by one function."""
    event = {"user_id": "ana", "item_id": "x", "action": "click", "timestamp": datetime(2017, 1, 1, 10, 0, 0, 5, UTC)}
    pending = EventStore(f"sqlite:///{tmp_path}/pending_events.db")
    pending.add([event, event, event | {"item_id": "y", "event_id": "its own"}])
    posted = pl.DataFrame(pending.drain().rows)
    imported = conform(pl.DataFrame([event]), "events", "test").frame
    landed_at = pl.lit(datetime(2017, 1, 2, tzinfo=UTC)).cast(pl.Datetime("us", "UTC")).alias("landed_at")
    ingested = pl.concat([imported.with_columns(landed_at), posted]).with_columns(file=pl.lit("both"))
    raw_events = spark.createDataFrame(ingested.to_arrow())
    split = validate(raw_events, items(x={}, y={}), as_of=datetime(2030, 1, 1, tzinfo=UTC), opted_out_users=users())
    good, refused = rows(split.events), rows(split.quarantine)
    assert sorted(row["item_id"] for row in good) == ["x", "y"]
    assert [(row["item_id"], row["reason"]) for row in refused] == [("x", "duplicate_event_id")]


def test_counts_by_reason_in_the_order_of_the_contract(table):
    reasons = ["unknown_item", "null_id", "unknown_item"]
    counts = quarantine_counts(table(QUARANTINE, [{"reason": reason} for reason in reasons]))
    assert list(counts.items()) == [(Reason.NULL_ID, 1), (Reason.UNKNOWN_ITEM, 2)]


@pytest.fixture(scope="module")
def share_of(raw_events, items, users, cutoff):
    def run(*given):
        checked = with_reason(raw_events(*given), items(x={}), as_of=cutoff, opted_out_users=users())
        counts = quarantine_counts(split(checked).quarantine)
        return bad_share(checked, counts, as_of=cutoff)

    return run


def test_rows_that_another_file_repeats_count_once(share_of, hours):
    second = {"file": "second", "landed_at": hours(2)}
    assert share_of(
        {"event_id": "1"},
        {"event_id": "1"} | second,
        {"event_id": "1", "action": "save"} | second,  # another event of the same id
        {"event_id": "2"},
        {"event_id": "2"},  # twice in one file
        {"user_id": None},
        {"user_id": None} | second,
        {"user_id": None} | second,  # the file has two, of which the first had one
    ) == BadShare(4 / 6, "second", 3)


def test_rows_of_later_days_count_on_neither_side(share_of, hours):
    later = {"timestamp": hours(1), "landed_at": hours(2)}
    assert share_of({}, {"action": "stare"}, later, later | {"user_id": None}) == BadShare(1 / 2, "first", 1)


@pytest.mark.parametrize("time", [None, datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])
def test_rows_without_a_usable_time_count_in_proportion(share_of, hours, time):
    later = [{"timestamp": hours(1 + row), "landed_at": hours(9)} for row in range(3)]
    # one of the four rows with a time is before the cutoff: so is one of the four without
    assert share_of({}, *later, *[{"timestamp": time}] * 4) == BadShare(1 / 2, "first", 4)


@pytest.mark.parametrize("given", [[], [{"timestamp": datetime(2024, 3, 29, tzinfo=UTC)}]])
def test_nothing_that_matters_is_nothing_bad(share_of, given):
    assert share_of(*given) == BadShare(0)


def test_the_share_itself_is_still_accepted():
    accept(BadShare(0.05, "file", 5), {Reason.NULL_ID: 5}, max_bad_share=0.05)


def test_refusal_names_share_reasons_file_and_setting():
    counts = {Reason.NULL_ID: 4, Reason.AFTER_AS_OF: 50, Reason.UNKNOWN_ITEM: 2}
    with pytest.raises(
        TooManyBadRows,
        match=r"^12\.00% of the ingested events are broken \(null_id 4, unknown_item 2\), accepted are 5\.00%; "
        r".*a\.parquet has the most \(5\); remove that file .*TASTEFEED_MAX_BAD_SHARE$",
    ):
        accept(BadShare(0.12, "a.parquet", 5), counts, max_bad_share=0.05)


def test_refusal_for_unknown_items_asks_for_the_items():
    counts = {Reason.NULL_ID: 2, Reason.AFTER_AS_OF: 50, Reason.UNKNOWN_ITEM: 4}
    with pytest.raises(TooManyBadRows, match=r"quarantine: import the items that the events name with --items, or"):
        accept(BadShare(0.12, "a.parquet", 5), counts, max_bad_share=0.05)
