"""One oracle for every way in: import, the night's validation and HTTP read the same value, or give the same reason."""

import json
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from contracts import Settings
from contracts.ids import read_id
from contracts.schemas import EVENTS_WITH_FILE, ITEMS, USERS
from features import with_reason
from features.spark_session import spark_schema
from pipeline.ingestion import ImportRequest, convert
from pipeline.ingestion.readers import conform, to_arrow
from serving.http.app import create_app
from serving.privacy.opt_out_store import OptOutStore
from tests.strategies import Reading, Row, as_csv, as_json, reading, rows

NOW = datetime(2025, 1, 1, tzinfo=UTC)
MANY = st.lists(rows, min_size=1, max_size=60)
"""A file of some rows."""
GOOD = Row("1.0", "1.0", "click", "2024-03-01")
"""Keeps every column readable: of which no value is, is refused as a whole."""
NUMBERS = count(0, 1000)
FLOATS = [
    Row("42.0", "7.0", "click", "2024-03-01"),
    Row("43.0", "8.0", " save", "2024-03-02"),
    Row("43.0", "7.0", "unhide ", "2024-03-02"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    settings = Settings(lake=str(tmp_path_factory.mktemp("posted")))
    OptOutStore.of(settings).create()
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


def imported(table: list[Row]) -> pl.DataFrame:
    """A CSV file of the rows, as it would be imported."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        path.write_text(as_csv(table), encoding="utf-8")
        (frame,) = convert(ImportRequest("files", events=[path])).frames("events")
    return frame


def validated(spark, frame: pl.DataFrame) -> dict[str, Reading]:
    """What the night makes of raw events, by event id."""
    raw_events = to_arrow(
        frame.with_columns(
            pl.lit(NOW).cast(pl.Datetime("us", "UTC")).alias("landed_at"), pl.lit("events.parquet").alias("file")
        ),
        EVENTS_WITH_FILE,
    )
    items = conform(frame.select("item_id").drop_nulls().unique(), "items", "the same items").frame
    checked = with_reason(
        spark.createDataFrame(raw_events),
        spark.createDataFrame(to_arrow(items, ITEMS)),
        as_of=NOW,
        opted_out_users=spark.createDataFrame([], spark_schema(USERS)).select("user_id"),
    )
    return {row["event_id"]: _reading(row) for row in checked.toArrow().to_pylist()}


def _reading(row: dict[str, Any]) -> Reading:
    if row["reason"]:
        return Reading(reason=row["reason"])
    return Reading(read_id(row["user_id"]), read_id(row["item_id"]), row["action"], row["timestamp"])


def posted(client: TestClient, table: list[Row], first: int) -> dict[str, Reading]:
    """What a post of the rows stores, and why it refuses the others, by event id; the ids are numbered from `first`."""
    body = json.dumps({"events": as_json(table, first=first)})
    answer = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    readings = {f"e{first + error['index']}": Reading(reason=error["reason"]) for error in answer.json()["errors"]}
    for row in client.app.state.event_store.rows().to_pylist():
        if int(row["event_id"][1:]) >= first:
            readings[row["event_id"]] = Reading(row["user_id"], row["item_id"], row["action"], row["timestamp"])
    return readings


@settings(
    max_examples=10,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink an example would take minutes of Spark
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(table=MANY)
@example(table=FLOATS)
def test_every_entry_point_reads_the_same(spark, client, table):
    table = [GOOD, *table]
    first = next(NUMBERS)
    expected = {f"e{n}": reading(row) for n, row in enumerate(table)}
    assert validated(spark, imported(table)) == expected
    assert posted(client, table, first) == {f"e{first + n}": reading(row) for n, row in enumerate(table)}
