"""Segments of users and items, and their tables, on twelve users who read two languages."""

from datetime import timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from contracts.schemas import ITEMS, USERS
from evaluation import MethodMetrics, RankedLists, catalogue_from, events_from, hold_out
from pipeline.evaluation_lists import EvaluationData
from pipeline.evaluation_segments import (
    METRICS,
    item_segments_table,
    languages_read,
    user_segments,
    user_segments_table,
)
from pipeline.feature_assembly import IngestedTables
from pipeline.metrics_store import EvaluatedWeek
from ranking.feature_arrays import ids_of
from tests.pipeline.handmade_lake import CUTOFF

USERS_EACH = 6


def ingested(stated: dict[str, str] | None = None) -> IngestedTables:
    """Two English items (one of them American), two Portuguese ones and one of unknown language."""
    items = pl.DataFrame(
        {
            "item_id": ["e1", "e2", "n1", "p1", "p2"],
            "language": ["en", "en-US", None, "pt", "pt-BR"],
            "created_at": [CUTOFF - timedelta(days=40)] * 4 + [CUTOFF - timedelta(days=2)],
        }
    )
    users = pl.DataFrame(
        [(user, (stated or {}).get(user), "SP" if int(user[1:]) % 2 else "TX") for user in user_ids()],
        schema=["user_id", "language", "region"],
        orient="row",
    )
    empty = pl.DataFrame(schema=pl.Schema(ITEMS)), pl.DataFrame(schema=pl.Schema(USERS))
    items, users = (
        pl.concat([none, some], how="diagonal_relaxed") for none, some in zip(empty, (items, users), strict=True)
    )
    return IngestedTables(items, users, np.zeros(5, bool), [], [], [], [])


def whole(rows: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    """The rows with every column of their table."""
    return pl.concat([pl.DataFrame(schema=pl.Schema(schema)), rows], how="diagonal_relaxed")


def user_ids() -> list[str]:
    return [f"u{number:02}" for number in range(2 * USERS_EACH)]


def events(*extra: tuple[str, str, str, float]) -> pl.DataFrame:
    """The first half read English, the others Portuguese; in the held-out week each clicks the other language."""
    rows = [(user, "e1" if number < USERS_EACH else "p1", "click", -5.0) for number, user in enumerate(user_ids())]
    rows += [(user, "p1" if number < USERS_EACH else "e1", "click", 1.0) for number, user in enumerate(user_ids())]
    rows = [(*row[:3], CUTOFF + timedelta(days=row[3])) for row in [*rows, *extra]]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "action", "timestamp"], orient="row")


def data_of(frame: pl.DataFrame, snapshot: IngestedTables) -> EvaluationData:
    ids, item_ids = ids_of(user_ids()), ids_of(snapshot.items["item_id"])
    vectors = np.zeros((len(item_ids), 1), np.float32)
    return EvaluationData(events_from(frame, ids, item_ids), catalogue_from(snapshot.items), ids, item_ids, vectors)


def segments(frame: pl.DataFrame, snapshot: IngestedTables) -> dict[str, list[str]]:
    data = data_of(frame, snapshot)
    holdout = hold_out(data.events, data.catalogue, CUTOFF)
    assert holdout.user_rows.tolist() == list(range(2 * USERS_EACH))
    return {name: labels.tolist() for name, labels in user_segments(snapshot, data, holdout).items()}


def test_a_user_reads_the_language_of_most_clicks_before_the_cutoff() -> None:
    by_segment = segments(events(), ingested())
    assert set(by_segment) == {"tenure", "history", "language", "region"}
    assert by_segment["language"] == ["en"] * USERS_EACH + ["pt"] * USERS_EACH
    assert by_segment["region"] == ["TX", "SP"] * USERS_EACH


def test_a_stated_language_counts_before_the_one_that_was_read() -> None:
    stated = dict.fromkeys(user_ids()[:USERS_EACH], "pt-PT")
    assert segments(events(), ingested(stated))["language"] == ["pt"] * 2 * USERS_EACH


def test_equal_languages_give_the_first_by_name_and_unknown_ones_none() -> None:
    frame = events(("u00", "p2", "click", -4.0), ("u11", "n1", "save", -4.0))
    snapshot = ingested()
    data = data_of(frame, snapshot)
    read = languages_read(snapshot, hold_out(data.events, data.catalogue, CUTOFF))
    assert (read[0], read[11]) == ("en", "pt")


def test_a_hidden_item_is_not_read() -> None:
    frame = events(("u00", "p2", "hide", -4.0), ("u00", "p2", "hide", -3.0))
    assert segments(frame, ingested())["language"][0] == "en"


def test_small_segments_are_merged() -> None:
    stated = {"u00": "de", "u01": "fr"}
    labels = segments(events(), ingested(stated))["language"]
    assert labels[0] == labels[1] == "other"
    assert "de" not in labels
    assert labels.count("other") >= 5, "a segment of two users would identify them"


def test_the_tables_have_a_row_for_each_method_and_segment() -> None:
    snapshot = ingested()
    data = data_of(events(), snapshot)
    holdout = hold_out(data.events, data.catalogue, CUTOFF)
    labels = user_segments(snapshot, data, holdout)
    halves = np.repeat([1.0, 0.0], USERS_EACH)
    method = MethodMetrics("final", len(halves), dict.fromkeys(METRICS, halves), {})
    table = user_segments_table(EvaluatedWeek(holdout.user_rows, [method], CUTOFF, 1.0, labels))
    languages = table.filter(slice="language").sort("group")
    assert languages.select("method", "group", "users", "ndcg_at_20").rows() == [
        ("final", "en", USERS_EACH, 1.0),
        ("final", "pt", USERS_EACH, 0.0),
    ]
    lists = RankedLists(np.tile(np.array([0, 3, -1], np.int32), (len(halves), 1)))  # e1, then p1, then an empty place
    items = item_segments_table({"final": lists}, holdout, data.catalogue)
    assert set(items["method"]) == {"final"}
    assert items.filter(group="older")["recall_at_20"].item() == pytest.approx(1.0)
