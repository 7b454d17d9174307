"""Items, users and a catalogue of any size for the benchmark of serving: drawn at random from one seed.

Items lie in clusters of the embedding, a few hundred in each. A user likes two clusters: the history is drawn from
them, and the user's vector lies between them. Popularity is heavy-tailed, and most items are months old.

Shapes: I items, U users, H history items of all users, C clusters, D embedding size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import columns as c
from contracts.csr import Longs, offsets_of
from contracts.schemas import ITEMS
from ranking.feature_arrays import Floats, Ids, Items, Rows, Users, ids_of
from ranking.feature_names import ITEM_FEATURE_NAMES, USER_FEATURE_NAMES
from ranking.similarity import unit

AS_OF = datetime(2017, 3, 1, tzinfo=UTC)
HOURS = AS_OF.timestamp() / 3600
EMBEDDING_SIZE = 64
ITEMS_A_CLUSTER, ITEMS_A_CREATOR, CATEGORIES = 500, 20, 50
HISTORY, LONGEST_HISTORY = 20, 60
"""Interactions of a user: on average, and at most."""
MEAN_AGE_HOURS = 24 * 120
SPREAD, USER_SPREAD = 0.7, 0.5
"""Length of the random part of a vector, beside a cluster centre of length 1."""
WORDS = ("river", "harbour", "winter", "market", "engine", "garden", "signal", "paper", "island", "kitchen", "railway",
         "forest", "camera", "bridge", "theatre", "weather", "museum", "journey", "letter", "mountain")  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large a synthetic release is."""

    items: int
    users: int

    @property
    def clusters(self) -> int:
        """C."""
        return max(2, self.items // ITEMS_A_CLUSTER)


@dataclass(frozen=True)
class SyntheticTables:
    """What a night would have read and computed."""

    items: Items
    users: Users
    catalogue: pa.Table


def synthetic_tables(size: Size, seed: int) -> SyntheticTables:
    """Equal sizes and seeds give equal tables."""
    random = np.random.default_rng(seed)
    centres_CD = unit(random.normal(size=(size.clusters, EMBEDDING_SIZE)).astype(np.float32))
    items = _items(size, centres_CD, random)
    return SyntheticTables(items, _users(size, centres_CD, random), _catalogue(items))


def _cluster_of(size: Size) -> Longs:
    """[I] items of one cluster are side by side."""
    return np.arange(size.items) * size.clusters // size.items


def _items(size: Size, centres_CD: Floats, random: np.random.Generator) -> Items:
    clusters = _cluster_of(size)
    vectors = _around(centres_CD[clusters], SPREAD, random)
    ages = random.exponential(MEAN_AGE_HOURS, size.items)
    return Items(
        ids=_numbered("i", size.items),
        creator=random.integers(0, max(1, size.items // ITEMS_A_CREATOR), size.items).astype(np.int32),
        language=(random.random(size.items) < 0.2).astype(np.int32),
        category_offsets=np.arange(size.items + 1, dtype=np.int64),
        category_codes=(clusters % CATEGORIES).astype(np.int32),
        created_hours=HOURS - ages,
        vectors=vectors,
        text_vectors=_around(vectors, USER_SPREAD, random),
        features=_features(ITEM_FEATURE_NAMES, _popularity(size.items, random), random),
    )


def _users(size: Size, centres_CD: Floats, random: np.random.Generator) -> Users:
    liked_U2 = random.integers(0, size.clusters, (size.users, 2))
    lengths = np.clip(random.geometric(1 / HISTORY, size.users), 2, LONGEST_HISTORY)
    offsets = offsets_of(lengths)
    saved = random.random(offsets[-1]) < 0.3
    return Users(
        ids=_numbered("u", size.users),
        region=np.zeros(size.users, np.int32),
        vectors=_around(centres_CD[liked_U2[:, 0]] + centres_CD[liked_U2[:, 1]], USER_SPREAD, random),
        features=_features(USER_FEATURE_NAMES, lengths.astype(float), random),
        history_offsets=offsets,
        history_items=_histories(size, liked_U2, lengths, random),
        history_saves=saved.astype(np.float32),
        history_clicks=(~saved).astype(np.float32),
        history_hours=_ascending_hours(lengths, random),
    )


def _around(centres: Floats, spread: float, random: np.random.Generator) -> Floats:
    """Unit vectors near these."""
    noise = random.standard_normal(centres.shape, np.float32)
    return unit(centres + np.float32(spread / EMBEDDING_SIZE**0.5) * noise)


def _popularity(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Users of each item over all time."""
    popularity: NDArray[np.float64] = np.floor(10 * random.pareto(1.2, count))
    return popularity


def _features(names: Sequence[str], total: NDArray[np.float64], random: np.random.Generator) -> Floats:
    """Counts are shares of a total, rates lie between 0 and 1, and whatever else there is has the size of a count."""
    columns = [_feature(name, total, random) for name in names]
    return np.stack(columns, axis=1).astype(np.float32)


def _feature(name: str, total: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    if "rate" in name or name == "trend":
        return random.random(len(total))
    number = name.rsplit("_", 1)[-1]
    days = float(number[:-1]) / (24 if number.endswith("h") else 1) if number[:-1].isdigit() else 365.0
    noise = random.uniform(0.95, 1.05, len(total))  # so that the popular items of all windows are mostly the same
    return np.floor(total * noise * min(1.0, days / 60))


def _histories(size: Size, liked_U2: Longs, lengths: Longs, random: np.random.Generator) -> Rows:
    """[H] rows of distinct items: each user walks through the first cluster, then through the second."""
    owners = np.repeat(np.arange(size.users), lengths)
    places = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    cluster = liked_U2[owners, (places >= lengths[owners] // 2).astype(int)]
    starts = -(-cluster * size.items // size.clusters)
    width = size.items // size.clusters
    steps = np.cumsum(random.integers(1, max(2, width // LONGEST_HISTORY), len(owners)))
    rows: Rows = (starts + (steps + random.integers(0, width, size.users)[owners]) % width).astype(np.int32)
    return rows


def _ascending_hours(lengths: Longs, random: np.random.Generator) -> NDArray[np.float64]:
    """[H] the last interaction of each user was up to a day ago, those before it some hours apart."""
    ends = np.repeat(np.cumsum(lengths), lengths)
    from_end = ends - np.arange(len(ends))
    return HOURS - 12.0 * from_end + random.uniform(0, 12, len(ends))


def _numbered(letter: str, count: int) -> Ids:
    return ids_of(f"{letter}{number}" for number in range(count))


def _catalogue(items: Items) -> pa.Table:
    created = (AS_OF - timedelta(hours=HOURS - hours) for hours in items.created_hours.tolist())
    columns: dict[str, Any] = {
        c.ITEM_ID: items.ids.tolist(),
        c.TITLE: [_title(number) for number in range(len(items.ids))],
        c.CREATOR_ID: [f"c{code}" for code in items.creator.tolist()],
        c.CATEGORIES: [[f"category {code}"] for code in items.category_codes.tolist()],
        c.LANGUAGE: ["pt" if code else "en" for code in items.language.tolist()],
        c.CREATED_AT: list(created),
        c.URL: [f"https://example.org/articles/{item}" for item in items.ids.tolist()],
    }
    empty = {name: [None] * len(items.ids) for name in ITEMS.names if name not in columns}
    return pa.table({name: (columns | empty)[name] for name in ITEMS.names}, schema=ITEMS)


def _title(number: int) -> str:
    """Three words of the list; numbers near each other differ in all of them."""
    words = (WORDS[number * step % len(WORDS)] for step in (1, 3, 7))
    return f"The {' and the '.join(words)}, part {number // len(WORDS) + 1}"
