"""The catalogue of a lake without an items table: the items that events name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from pyspark.sql import SparkSession

from contracts.opt_out_flags import OptOut, SubjectType
from contracts.schemas import INCOMING, ITEMS
from features import validate
from features.event_filters import OPTED_OUT_USERS
from pipeline.as_of_day import end_of_last_day
from pipeline.ingestion import store_batch
from pipeline.ingestion.item_catalogue import catalogue, items_of_events, known_items
from pipeline.ingestion.landing_zone import read_ingested_events, usable_events
from pipeline.lake import Lake
from serving.privacy.opt_out_store import OptOutStore

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
NASTY_IDS = ("ana", " ana ", "", " ", "\u3000", "a\0", "a\nb", "u" * 512, "u" * 513, "42.0", None)
NASTY_TIMES = (
    NOON,
    None,
    datetime(1989, 12, 31, tzinfo=UTC),
    datetime(1990, 1, 1, tzinfo=UTC),
    NOON + timedelta(days=2),
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def opt_outs(tmp_path: Path) -> OptOutStore:
    store = OptOutStore(f"sqlite:///{tmp_path}/opt_outs.db", beside=[tmp_path])
    store.create()
    return store


def ingest_events(lake: Lake, *rows: tuple[str | None, str | None, str, int | datetime | None]) -> None:
    """Rows of user, item, action, and the instant or the hours since noon."""
    frame = pl.DataFrame(
        [(u, i, a, NOON + timedelta(hours=t) if isinstance(t, int) else t) for u, i, a, t in rows],
        schema={"user_id": pl.String, "item_id": pl.String, "action": pl.String, "timestamp": pl.Datetime("us", "UTC")},
        orient="row",
    )
    absent = pl.DataFrame(schema=pl.Schema(INCOMING["events"]))
    store_batch("events", pl.concat([absent, frame], how="diagonal"), lake.root, NOON + timedelta(hours=10))


def seen(items: pl.DataFrame) -> dict[str, datetime | None]:
    return dict(items.select("item_id", "created_at").iter_rows())


def test_an_item_begins_with_its_first_event(lake: Lake, opt_outs: OptOutStore) -> None:
    ingest_events(lake, ("u", "b", "click", 5), ("v", "b", "impression", 2), ("u", "a", "save", 3))
    items = catalogue(lake, opt_outs)
    assert items.schema == pl.Schema(ITEMS)
    assert items["item_id"].to_list() == ["a", "b"]
    assert seen(items) == {"a": NOON + timedelta(hours=3), "b": NOON + timedelta(hours=2)}


def test_a_row_that_the_night_refuses_names_no_item(lake: Lake, opt_outs: OptOutStore) -> None:
    ingest_events(
        lake,
        ("u", "good", "click", 1),
        ("u", "viewed", "view", 1),
        (None, "of no user", "click", 1),
        ("u", "future", "click", 24 * 9),
        ("u", "timeless", "click", None),
        ("u", "control\0", "click", 1),
    )
    assert set(seen(catalogue(lake, opt_outs))) == {"good"}


def test_an_id_that_is_spelled_in_two_ways_is_one_item(lake: Lake, opt_outs: OptOutStore) -> None:
    ingest_events(lake, ("u", "7.0", "click", 1), ("u", " 7", "click", 4), ("u", "8.0", "click", 2))
    assert seen(catalogue(lake, opt_outs)) == {"7": NOON + timedelta(hours=1), "8": NOON + timedelta(hours=2)}


def test_an_items_table_counts_alone(lake: Lake, opt_outs: OptOutStore) -> None:
    ingest_events(lake, ("u", "a", "click", 1), ("u", "b", "click", 1))
    assert set(seen(known_items(lake, opt_outs))) == {"a", "b"}
    items = pl.concat([pl.DataFrame(schema=pl.Schema(ITEMS)), pl.DataFrame({"item_id": ["a"]})], how="diagonal")
    store_batch("items", items, lake.root, NOON)
    assert seen(known_items(lake, opt_outs)) == {"a": None}


def test_opted_out_users_name_no_item_and_date_none(lake: Lake, opt_outs: OptOutStore) -> None:
    ingest_events(
        lake,
        ("1.0", "read by 1", "click", 1),
        ("2", "only read by 2", "click", 1),
        ("1.0", "shared", "click", 1),
        ("2", "shared", "click", 2),
        ("3", "shared", "click", 3),
    )
    opt_outs.set(SubjectType.USER, "1", "personalization")
    opt_outs.set(SubjectType.USER, "2", "training")
    assert seen(items_of_events(lake, opt_outs)) == {"only read by 2": None, "shared": NOON + timedelta(hours=3)}


def test_a_later_opt_out_takes_effect_from_its_instant(lake: Lake, opt_outs: OptOutStore) -> None:
    ingest_events(lake, ("u", "a", "click", 1))
    later = datetime.now(UTC) + timedelta(days=400)
    opt_outs.load([OptOut(SubjectType.USER, "u", "personalization", True, later)])  # type: ignore[arg-type]
    assert set(seen(items_of_events(lake, opt_outs))) == {"a"}


@pytest.mark.filterwarnings("ignore")
def test_polars_and_spark_call_the_same_rows_usable(lake: Lake, opt_outs: OptOutStore, spark: SparkSession) -> None:
    rows = [(f"{n}", id_, "click", 1) for n, id_ in enumerate(NASTY_IDS)]
    rows += [(id_, "x", " save ", 2) for id_ in NASTY_IDS]
    rows += [("t", "x", "click", time) for time in NASTY_TIMES]
    rows += [("t", "x", action, 3) for action in ("view", " click", "", "CLICK", "hide", "impression")]
    ingest_events(lake, *rows)
    no_opt_outs = spark.createDataFrame(pl.DataFrame(schema=pl.Schema(OPTED_OUT_USERS)).to_arrow())
    items = spark.createDataFrame(catalogue(lake, opt_outs).to_arrow())
    split = validate(read_ingested_events(spark, lake), items, as_of=end_of_last_day(lake), opted_out_users=no_opt_outs)
    good = pl.DataFrame(split.events.toArrow()).select("user_id", "action", "timestamp")
    usable = usable_events(lake).select("user_id", "action", "timestamp").unique().collect()
    assert sorted(good.unique().iter_rows(), key=str) == sorted(usable.iter_rows(), key=str)
    assert good.height >= 10
