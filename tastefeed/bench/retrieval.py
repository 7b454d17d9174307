"""`tastefeed bench retrieval`: the two-tower with its shipped defaults on data it has never seen."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tastefeed.contracts import Action, Settings
from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import SchemaMismatch, UnreadableInput
from tastefeed.contracts.schemas import ITEMS
from tastefeed.evaluation import Lists, item_sets
from tastefeed.evaluation.lists import Labels
from tastefeed.evaluation.metrics import hit_rate_at_k, mean, ndcg_at_k, recall_at_k
from tastefeed.models.two_tower import TrainedTwoTower, TwoTowerConfig, train

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
USERS_AT_ONCE = 1024
RANK, SCORE = "rank", "score"


def run(train_file: Path, test_file: Path, *, k: int, out: Path, settings: Settings) -> dict[str, float]:
    """Train, list the best `k` unseen items of every test user, measure; writes `top_k.parquet` and `metrics.json`."""
    history, test = read_pairs(train_file), read_pairs(test_file)
    item_ids, user_ids = history[c.ITEM_ID].unique().sort(), test[c.USER_ID].unique().sort()
    started = time.perf_counter()
    tower = train(examples_of(history), catalogue_of(item_ids), config=TwoTowerConfig(), seed=settings.seed)
    fit_seconds = time.perf_counter() - started
    rows, scores = top_k(tower, history, user_ids, item_ids, k)
    metrics = measured(rows, test, user_ids, item_ids, k) | {"fit_seconds": round(fit_seconds, 2)}
    out.mkdir(parents=True, exist_ok=True)
    as_table(rows, scores, user_ids, item_ids).write_parquet(out / "top_k.parquet")
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    return metrics


def read_pairs(path: Path) -> pl.DataFrame:
    """`user_id, item_id` as text and `timestamp`; where that is absent, the row order is the time, a second a row."""
    if not path.exists():
        raise UnreadableInput(f"{path}: no such file; give a parquet file with {c.USER_ID} and {c.ITEM_ID}")
    frame = pl.read_parquet(path)
    missing = [name for name in (c.USER_ID, c.ITEM_ID) if name not in frame.columns]
    if missing:
        raise SchemaMismatch(f"{path}: lacks {', '.join(missing)}; have {', '.join(frame.columns)}")
    return frame.select(pl.col(c.USER_ID, c.ITEM_ID).cast(pl.String), when(frame).alias(c.TIMESTAMP))


def when(frame: pl.DataFrame) -> pl.Expr:
    """The instant of each row."""
    if c.TIMESTAMP not in frame.columns:
        return pl.lit(EPOCH) + pl.duration(seconds=pl.int_range(pl.len()))
    if frame.schema[c.TIMESTAMP].is_numeric():
        return pl.from_epoch(c.TIMESTAMP, time_unit="s").dt.replace_time_zone("UTC").dt.cast_time_unit("us")
    return pl.col(c.TIMESTAMP).cast(pl.Datetime("us", "UTC"))


def examples_of(history: pl.DataFrame) -> pl.DataFrame:
    """The rows as `schemas.RETRIEVAL_EXAMPLES` without a cut: one row a user, oldest first, everything a click."""
    ordered = history.sort(c.TIMESTAMP, maintain_order=True)
    return ordered.group_by(c.USER_ID, maintain_order=True).agg(
        pl.col(c.ITEM_ID).alias("item_ids"),
        pl.lit(Action.CLICK.value).repeat_by(pl.len()).first().alias("actions"),
        pl.col(c.TIMESTAMP).alias("timestamps"),
        pl.lit(value=True).alias("trainable"),
    )


def catalogue_of(item_ids: pl.Series) -> pl.DataFrame:
    """Items of which nothing is known but the id."""
    return pl.DataFrame({c.ITEM_ID: item_ids}).join(pl.DataFrame(schema=pl.Schema(ITEMS)), on=c.ITEM_ID, how="left")


def top_k(
    tower: TrainedTwoTower, history: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """[U, k] item rows and scores of the asked users; what they trained on is masked, -1 where nothing is left."""
    as_of, items = after(history), catalogue_of(item_ids)
    asked = pl.DataFrame({c.USER_ID: user_ids}).join(
        examples_of(history), on=c.USER_ID, how="left", maintain_order="left"
    )
    asked = asked.with_columns(
        pl.col("item_ids", "actions", "timestamps").fill_null([]), pl.col("trainable").fill_null(value=True)
    )
    users_UD, items_ID = tower.embed_users(asked, items, as_of), tower.embed_items(items, as_of)
    seen = coded(history, user_ids, item_ids)
    parts = [
        _best(users_UD[first : first + USERS_AT_ONCE] @ items_ID.T, seen, first, k)
        for first in range(0, len(user_ids), USERS_AT_ONCE)
    ]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])


def after(history: pl.DataFrame) -> datetime:
    """Just after the last event."""
    last: datetime = history.select(pl.col(c.TIMESTAMP).max()).item()
    return last + timedelta(seconds=1)


def coded(pairs: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """Pairs as rows `user, item`; those of other users or items are left out."""
    users = pl.DataFrame({c.USER_ID: user_ids}).with_row_index("user")
    items = pl.DataFrame({c.ITEM_ID: item_ids}).with_row_index("item")
    return (
        pairs.join(users, on=c.USER_ID).join(items, on=c.ITEM_ID).select(pl.col("user", "item").cast(pl.Int32)).unique()
    )


def _best(scores_BI: np.ndarray, seen: pl.DataFrame, first: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    own = seen.filter(pl.col("user").is_between(first, first + len(scores_BI) - 1))
    scores_BI[own["user"].to_numpy() - first, own["item"].to_numpy()] = -np.inf
    width = min(k, scores_BI.shape[1])
    rows = np.argpartition(-scores_BI, width - 1, axis=1)[:, :width]
    order = np.argsort(-np.take_along_axis(scores_BI, rows, axis=1), axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, axis=1)
    scores = np.take_along_axis(scores_BI, rows, axis=1)
    return np.where(np.isfinite(scores), rows, -1).astype(np.int32), scores


def measured(
    rows: np.ndarray, test: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series, k: int
) -> dict[str, float]:
    """Binary metrics over test users; a test item that training never saw counts as missed."""
    everything = pl.concat([item_ids, test[c.ITEM_ID]]).unique(maintain_order=True)
    pairs = coded(test, user_ids, everything)
    sets = item_sets(pairs["user"].to_numpy(), pairs["item"].to_numpy(), len(user_ids))
    labels = Labels(sets.offsets, sets.item_rows, np.ones(len(sets.item_rows), np.float32))
    lists = Lists(rows)
    by_name = {"recall": recall_at_k, "ndcg": ndcg_at_k, "hit_rate": hit_rate_at_k}
    return {f"{name}_at_{k}": mean(metric(lists, labels, k)) for name, metric in by_name.items()} | {
        "users": len(user_ids)
    }


def as_table(rows: np.ndarray, scores: np.ndarray, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """`user_id, item_id, rank, score`; ranks count from 1."""
    users, places = np.nonzero(rows >= 0)
    return pl.DataFrame(
        {
            c.USER_ID: user_ids.gather(users),
            c.ITEM_ID: item_ids.gather(rows[users, places]),
            RANK: (places + 1).astype(np.int32),
            SCORE: scores[users, places],
        }
    )
