from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from contracts.schemas import INTERACTIONS
from features import interactions
from features.interactions import decay

DAY = 24
PAST = [
    ("ana", "impression", "x", -30 * DAY),
    ("ana", "click", "x", -14 * DAY),
    ("ana", "click", "x", -28 * DAY),
    ("ana", "save", "x", -7 * DAY),
    ("ana", "hide", "y", -1),
    ("bob", "save", "x", -14 * DAY),
]


def test_counts_strengths_and_span(events, rows, cutoff, hours):
    first, hidden, bobs = rows(interactions(events(*PAST), [cutoff], half_life_days=14))
    assert first == {
        "cut": cutoff,
        "user_id": "ana",
        "item_id": "x",
        "impressions": 1,
        "impressions_28d": 0,
        "clicks": 2,
        "saves": 1,
        "hides": 0,
        "unhides": 0,
        "hidden": False,
        "click_strength": 1 / 2 + 1 / 4,
        "save_strength": pytest.approx(0.5**0.5, abs=1e-12),
        "first_at": hours(-30 * DAY),
        "last_at": hours(-7 * DAY),
        "last_impression_at": hours(-30 * DAY),
        "last_interaction_at": hours(-7 * DAY),
    }
    assert list(first) == INTERACTIONS.names
    assert (hidden["item_id"], hidden["hides"], hidden["click_strength"], hidden["save_strength"]) == ("y", 1, 0, 0)
    assert hidden["hidden"]
    assert (bobs["user_id"], bobs["save_strength"]) == ("bob", 0.5)


def test_impressions_of_28_days_and_the_last_interaction_are_apart_from_all_impressions(events, rows, cutoff, hours):
    given = [("ana", "impression", "x", days * DAY) for days in (*[-40] * 9, -1)]
    given += [("ana", "click", "a", -5), ("ana", "hide", "b", -4), ("ana", "unhide", "b", -3), ("ana", "save", "c", -6)]
    given += [("ana", "impression", item, -10) for item in "abc"]
    of_items = {row["item_id"]: row for row in rows(interactions(events(*given), [cutoff], half_life_days=14))}
    assert (of_items["x"]["impressions"], of_items["x"]["impressions_28d"]) == (10, 1)
    last = {item: row["last_interaction_at"] for item, row in of_items.items()}
    assert last == {"a": hours(-5), "b": hours(-4), "c": hours(-6), "x": None}
    assert {row["last_impression_at"] for item, row in of_items.items() if item in "abc"} == {hours(-10)}


def test_a_later_unhide_undoes_a_hide(events, rows, cutoff):
    given = [
        *(("ana", action, item, hours) for item, action, hours in [
            ("undone", "hide", -5), ("undone", "hide", -4), ("undone", "unhide", -4),
            ("again", "hide", -5), ("again", "unhide", -4), ("again", "hide", -3),
            ("early", "unhide", -5), ("early", "hide", -4),
            ("later", "hide", -5), ("later", "unhide", 1 / 3600),  # the cutoff does not see the future
        ]),
    ]  # fmt: skip
    of_items = {row["item_id"]: row for row in rows(interactions(events(*given), [cutoff], half_life_days=14))}
    assert {item: row["hidden"] for item, row in of_items.items()} == {
        "undone": False, "again": True, "early": True, "later": True,
    }  # fmt: skip
    undone = of_items["undone"]
    assert (undone["hides"], undone["unhides"], undone["click_strength"], undone["save_strength"]) == (2, 1, 0, 0)


def test_the_future_changes_nothing(events, rows, cutoff):
    future = [("ana", "save", "x", 1 / 3600), ("ana", "click", "new", 0), ("new", "click", "x", 1)]
    now = rows(interactions(events(*PAST), [cutoff], half_life_days=14))
    assert rows(interactions(events(*PAST, *future), [cutoff], half_life_days=14)) == now


def test_a_cutoff_is_the_same_alone_and_among_others(events, rows, cutoff):
    earlier = cutoff - timedelta(days=10)
    together = rows(interactions(events(*PAST), [cutoff, earlier], half_life_days=14))
    alone = rows(interactions(events(*PAST), [earlier], half_life_days=14))
    assert [row for row in together if row["cut"] == earlier] == alone
    assert alone[0]["clicks"] == 2
    assert alone[0]["saves"] == 0


def test_yesterday_and_a_day_of_events_give_today(events, rows, cutoff):
    """Every column; the count of 28 days needs the day that leaves them as well."""
    given = [
        *(*PAST[:-1], ("ana", "click", "x", -12), ("ana", "unhide", "y", -0.5), ("ana", "hide", "x", -3)),
        *(("ana", "impression", "x", hours) for hours in (-28.5 * DAY, -28.1 * DAY, -27 * DAY, -20, -2)),
    ]
    fresh, leaving = (
        [each for each in given if low <= each[3] < high] for low, high in ((-DAY, 0), (-29 * DAY, -28 * DAY))
    )

    def of_items(some, at):
        return {row["item_id"]: row for row in rows(interactions(events(*some), [at], half_life_days=14))}

    before, wanted = of_items(given, cutoff - timedelta(days=1)), of_items(given, cutoff)
    day, left = of_items(fresh, cutoff), of_items(leaving, cutoff - timedelta(days=1))
    assert before["x"]["impressions_28d"] == 3
    for item, new in day.items():
        old, today = before.get(item, {}), wanted[item]
        counts = ("impressions", "clicks", "saves", "hides", "unhides")
        assert {name: today[name] for name in counts} == {name: old.get(name, 0) + new[name] for name in counts}
        gone = left[item]["impressions_28d"] if item in left else 0
        assert today["impressions_28d"] == old.get("impressions_28d", 0) + new["impressions_28d"] - gone
        for name in ("click_strength", "save_strength"):
            assert today[name] == pytest.approx(old.get(name, 0) * 0.5 ** (1 / 14) + new[name], abs=1e-11)
        assert today["hidden"] == (new["hidden"] if new["hides"] + new["unhides"] else old["hidden"])
        for name, latest in [
            ("first_at", min),
            *((f"last_{name}at", max) for name in ("", "impression_", "interaction_")),
        ]:
            assert today[name] == latest(filter(None, (old.get(name), new[name])), default=None)


Days = st.floats(0, 3000)


@settings(max_examples=4)
@given(spans=st.lists(st.tuples(Days, Days), min_size=1, max_size=50), half_life_days=st.floats(0.1, 1000))
def test_decay_is_memoryless_and_halves(spark, cutoff, spans, half_life_days):
    halfway = timedelta(days=half_life_days)
    times = [(cutoff - timedelta(days=a + b), cutoff - timedelta(days=b), cutoff - halfway) for a, b in spans]
    frame = spark.createDataFrame(times, "start timestamp, middle timestamp, half timestamp").withColumn(
        "end", F.lit(cutoff)
    )

    def weight(start, end):
        return decay(F.col(start), F.col(end), half_life_days)

    for row in frame.select(
        weight("start", "end").alias("whole"),
        (weight("start", "middle") * weight("middle", "end")).alias("parts"),
        weight("half", "end").alias("half"),
        weight("end", "end").alias("none"),
    ).collect():
        assert 0 <= row.whole <= 1
        assert row.whole == pytest.approx(row.parts, rel=1e-6, abs=1e-300)
        assert row.half == pytest.approx(0.5)
        assert row.none == 1
