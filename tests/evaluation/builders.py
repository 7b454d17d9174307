"""Small inputs that a person can check by hand."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from evaluation import Catalogue, Events, Labels, MethodMetrics, RankedLists

CUTOFF = datetime(2017, 2, 21, tzinfo=UTC)


def lists(*rows: Sequence[int]) -> RankedLists:
    return RankedLists(np.array(rows, dtype=np.int32))


def labels(*users: Mapping[int, float]) -> Labels:
    """One mapping of item to gain a user."""
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    items = [item for user in users for item in user]
    gains = [gain for user in users for gain in user.values()]
    return Labels(offsets, np.array(items, dtype=np.int32), np.array(gains, dtype=np.float32))


def events(rows: Sequence[tuple[int, int, float, float]], users: int, items: int) -> Events:
    """Rows of (user, item, days from CUTOFF, gain)."""
    instants = [np.datetime64((CUTOFF + timedelta(days=row[2])).replace(tzinfo=None), "us") for row in rows]
    return Events(
        np.array([row[0] for row in rows], dtype=np.int32),
        np.array([row[1] for row in rows], dtype=np.int32),
        np.array(instants, dtype="datetime64[us]"),
        np.array([row[3] for row in rows], dtype=np.float32),
        np.full(len(rows), np.datetime64("NaT", "us")),
        users,
        items,
    )


def catalogue(created_days: Sequence[float | None], removed_days: Mapping[int, float] | None = None) -> Catalogue:
    """Items created so many days from CUTOFFOFF; each has a creator of its own."""

    def moment(days: float | None) -> np.datetime64:
        naive = None if days is None else (CUTOFF + timedelta(days=days)).replace(tzinfo=None)
        return np.datetime64("NaT", "us") if naive is None else np.datetime64(naive, "us")

    removed = [(removed_days or {}).get(item) for item in range(len(created_days))]
    return Catalogue(
        np.array([moment(days) for days in created_days], dtype="datetime64[us]"),
        np.array([moment(days) for days in removed], dtype="datetime64[us]"),
        np.arange(len(created_days), dtype=np.int32),
    )


def measured(name: str, ndcg: Sequence[float], **means: float) -> MethodMetrics:
    values = np.array(ndcg, dtype=np.float64)
    return MethodMetrics(name, len(values), {"ndcg_at_20": values}, {"ndcg_at_20": float(np.mean(values)), **means})
