"""A lake written by hand, small enough to compute by hand: three users, five items, one cutoff."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from mlflow.entities import DatasetInput

from contracts import Settings
from contracts.schemas import DERIVED, EVENTS, ITEMS, USERS
from pipeline.ingestion.landing_zone import store_batch
from pipeline.run_context import RunContext, open_run_context

DAY = date(2017, 3, 8)
END = datetime(2017, 3, 8, tzinfo=UTC)
CUTOFF = END - timedelta(days=7)
"""The evaluation cutoff of the night of `DAY`."""


def hours(count: float) -> datetime:
    """An instant some hours after the cutoff; negative ones lie before it."""
    return CUTOFF + timedelta(hours=count)


def whole(rows: list[dict[str, object]], schema: pa.Schema) -> pl.DataFrame:
    """The rows with every column of their table; what a row does not name is null."""
    return pl.DataFrame([dict.fromkeys(schema.names) | row for row in rows], schema=pl.Schema(schema))


ITEM_ROWS = [
    {"item_id": "a", "creator_id": "ann", "language": "en", "categories": ["x", "y"], "created_at": hours(-48)},
    {"item_id": "b", "creator_id": "bob", "language": "pt", "categories": ["y"], "created_at": hours(-24)},
    {"item_id": "c", "creator_id": None, "language": None, "categories": None, "created_at": None},
    {"item_id": "d", "creator_id": "ann", "language": "en", "categories": ["x"], "created_at": hours(-2)},
    {"item_id": "later", "creator_id": "bob", "language": "en", "categories": ["x"], "created_at": hours(2)},
]
USER_ROWS = [{"user_id": "u1", "region": "SP"}, {"user_id": "u2", "region": None}, {"user_id": "u3", "region": "TX"}]
EVENT_ROWS = [
    ("u1", "a", "click", -10),
    ("u1", "b", "save", -5),
    ("u2", "b", "click", -4),
    ("u2", "a", "hide", -3),
    ("u3", "c", "impression", -2),
    ("u1", "d", "save", 3),
    ("u1", "a", "click", 4),
    ("u2", "d", "click", 5),
    ("u2", "later", "click", 6),
    ("u3", "d", "click", 7),
]
"""`u1` and `u2` have a history; in the week after the cutoff each likes `d`; `u3` has impressions alone."""


class Tower:
    """Embeds an item by the position of its id in the alphabet, and a user by the number of examples."""

    def embed_items(self, items: pl.DataFrame, as_of: datetime) -> np.ndarray:
        return np.array([[ord(item[0]) - ord("a"), 1] for item in items["item_id"]], np.float32)

    def embed_text(self, items: pl.DataFrame) -> np.ndarray:
        return np.eye(len(items), 3, dtype=np.float32)

    def embed_users(
        self, examples: pl.DataFrame, items: pl.DataFrame, as_of: datetime, users: pl.DataFrame | None = None
    ) -> np.ndarray:
        return np.array([[len(ids), 0] for ids in examples["item_ids"]], np.float32)


def handmade(lake: Path) -> RunContext:
    """The night of `DAY` on a new lake with every table that a snapshot of the cutoff reads."""
    store_batch("items", whole(ITEM_ROWS, ITEMS), lake, END)
    store_batch("users", whole(USER_ROWS, USERS), lake, END)
    night = open_run_context(str(lake), DAY, Settings(label_weeks=1))
    night.opt_outs.create()
    events = [
        {"event_id": str(row), "user_id": user, "item_id": item, "action": action, "timestamp": hours(at)}
        for row, (user, item, action, at) in enumerate(EVENT_ROWS)
    ]
    night.overwrite("events", whole(events, EVENTS))
    for table, rows in tables().items():
        night.overwrite(table, whole([{"cut": CUTOFF, **row} for row in rows], DERIVED[table]))
    return night


def tables() -> dict[str, list[dict[str, object]]]:
    """The derived tables at the cutoff. `interactions` are out of order, and name an item that the catalogue lacks."""
    strengths = {"click_strength": 0.5, "save_strength": 0.25}
    return {
        "item_features": [{"item_id": row["item_id"], "users": 2, "age_hours": None} for row in ITEM_ROWS[:4]],
        "user_features": [{"user_id": "u1", "clicks": 1, "saves": 1}],
        "retrieval_examples": [
            {"user_id": "u2", "item_ids": ["b"], "actions": ["click"], "timestamps": [hours(-4)], "trainable": True},
            {
                "user_id": "u1",
                "item_ids": ["a", "b"],
                "actions": ["click", "save"],
                "timestamps": [hours(-10), hours(-5)],
                "trainable": True,
            },
        ],
        "interactions": [
            {
                "user_id": "u2",
                "item_id": "a",
                "clicks": 0,
                "saves": 0,
                "hides": 1,
                "hidden": True,
                "last_interaction_at": hours(-3),
            },
            {"user_id": "u2", "item_id": "c", "clicks": 0, "saves": 0, "hides": 1, "unhides": 1, "hidden": False},
            {"user_id": "u1", "item_id": "b", "saves": 1, "last_interaction_at": hours(-5), **strengths},
            {
                "user_id": "u1",
                "item_id": "a",
                "clicks": 1,
                "last_at": hours(-1),  # an impression after the click
                "last_interaction_at": hours(-10),
                **strengths,
            },
            {"user_id": "u2", "item_id": "b", "clicks": 1, "last_interaction_at": hours(-4), **strengths},
            {"user_id": "u2", "item_id": "d", "clicks": 0, "last_at": hours(-1), **strengths},
            {
                "user_id": "u1",
                "item_id": "gone",
                "clicks": 1,
                "saves": 0,
                "hides": 0,
                "last_interaction_at": hours(-1),
                **strengths,
            },
        ],
    }


class RecordingMlflow:
    """Stands in for the MLflow logger, whose database takes seconds to make; records what is logged."""

    def __init__(self) -> None:
        self.logged: dict[str, object] = {}
        self.ended: list[str] = []
        self.promoted: tuple[str, ...] = ()
        self.inputs: dict[str, str] = {}
        self.client = self
        self.artifact_folder = Path("absent")

    def start(self, name: str, parent: str | None = None) -> str:
        return name

    def end(self, run: str, status: str = "FINISHED") -> None:
        self.ended.append(status)

    def params(self, run: str, values: dict[str, object]) -> None:
        self.logged |= values

    tags = metrics = params

    def curves(self, run: str, curves: dict[str, object], step: str) -> None:
        self.logged |= curves

    def artifact(self, run: str, name: str, content: str) -> None:
        self.logged[name] = content

    def log_inputs(self, run: str, tables: list[DatasetInput]) -> None:
        self.inputs |= {table.dataset.name: table.dataset.digest for table in tables}

    def set_registered_model_alias(self, model: str, alias: str, version: str) -> None:
        self.promoted += (model,)

    def set_model_version_tag(self, model: str, version: str, name: str, value: str) -> None:
        self.logged |= {f"{model}/{name}": value}


def recording(night: RunContext) -> RecordingMlflow:
    """Let a night log to a recorder, under the parent run `night`."""
    mlflow = RecordingMlflow()
    vars(night)["mlflow"] = mlflow
    night.write_summary("forget", {"mlflow_run": "night"})
    return mlflow
