"""A release small enough to build in a blink: five creators of eight items each, six users.

Item `i<row>` was created `row` hours before the release; creator `c<row % 5>`; odd rows are Portuguese. User `u<row>`
lies in the embedding exactly at item `8 * row` (creator `c<3 * row % 5>`), which they saved, and clicked the next one.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from contracts.schemas import ITEMS
from ranking.feature_arrays import Items, Users, ids_of
from ranking.feature_names import FEATURE_NAMES, ITEM_FEATURE_NAMES, USER_FEATURE_NAMES
from ranking.rank_users import RankingConfig
from ranking.reason_calibration import ReasonConfig
from ranking.reranker import RerankerConfig, train
from ranking.training_pairs import LabelledPairs
from serving.index_config import IndexConfig
from serving.releases.manifest import Manifest
from serving.releases.publish import Publication, publish
from serving.releases.serialization import ReleaseContents, write_release

AS_OF = datetime(2017, 3, 1, tzinfo=UTC)
HOURS = AS_OF.timestamp() / 3600
N_ITEMS, N_USERS, SIZE = 40, 5, 8
SAVED = np.arange(N_USERS) * 8
"""Row of the item that each user saved."""


def item_table(seed: int = 0) -> Items:
    vectors = np.random.default_rng(seed).normal(size=(N_ITEMS, SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = np.arange(N_ITEMS)
    return Items(
        ids=ids_of([f"i{row}" for row in rows]),
        creator=(rows % 5).astype(np.int32),
        language=(rows % 2).astype(np.int32),
        category_offsets=np.zeros(N_ITEMS + 1, np.int64),
        category_codes=np.zeros(0, np.int32),
        created_hours=HOURS - rows,
        vectors=vectors,
        text_vectors=vectors,
        features=item_features(),
    )


def item_features() -> np.ndarray:
    """All zero but for the users of the last week and month: item `i<row>` had `row` of them."""
    features = np.zeros((N_ITEMS, len(ITEM_FEATURE_NAMES)), np.float32)
    for days in (7, 28):
        features[:, ITEM_FEATURE_NAMES.index(f"users_{days}d")] = np.arange(N_ITEMS)
    return features


def user_table(items: Items) -> Users:
    history = np.stack([SAVED, SAVED + 1], axis=1).ravel()
    saves = np.tile([1, 0], N_USERS).astype(np.float32)
    return Users(
        ids=ids_of([f"user-{row}" for row in range(N_USERS)]),
        region=np.zeros(N_USERS, np.int32),
        vectors=items.vectors[SAVED].copy() * 2,
        features=np.random.default_rng(5).random((N_USERS, len(USER_FEATURE_NAMES)), np.float32),
        history_offsets=np.arange(N_USERS + 1, dtype=np.int64) * 2,
        history_items=history.astype(np.int32),
        history_saves=saves,
        history_clicks=1 - saves,
        history_hours=np.full(len(history), HOURS - 1),
    )


def catalogue() -> pa.Table:
    def row(number: int) -> dict[str, object]:
        return {
            "item_id": f"i{number}",
            "title": f"Title {number}",
            "creator_id": f"c{number % 5}",
            "categories": ["news"],
            "language": "pt" if number % 2 else "en",
            "created_at": AS_OF - timedelta(hours=number),
            "url": f"https://example.org/{number}",
        }

    # more than the items with vectors, in another order
    return pa.Table.from_pylist([row(number) for number in reversed(range(N_ITEMS + 3))], schema=ITEMS)


def ranker(folder: Path) -> Path:
    """Likes what is near the user's vector, and nothing else."""
    rows = np.random.default_rng(1).random((400, len(FEATURE_NAMES)), np.float32) * 4 - 2
    labels = np.digitize(rows[:, FEATURE_NAMES.index("retrieval_score")], [0, 1])
    pairs = LabelledPairs(rows, labels.astype(np.int32), np.repeat(np.arange(20, dtype=np.int32), 20))
    trained = train(
        [pairs], RerankerConfig(models=2, rounds=20, feature_share=1, pair_share=1, negative_share=1, min_leaf_pairs=10)
    )
    trained.reranker.save(folder / "model.txt")
    return folder / "model.txt"


def contents(folder: Path, *, seed: int = 0, as_of: datetime = AS_OF, metrics: dict | None = None) -> ReleaseContents:
    """What a night would hand over; another `seed` is another embedding."""
    items = item_table(seed)
    return ReleaseContents(
        as_of=as_of,
        tower=f"tower-{seed}",
        items=items,
        users=user_table(items),
        catalogue=catalogue(),
        popular=np.arange(N_ITEMS)[::-1][:20],
        fresh=np.arange(10),
        ranker=ranker(folder),
        ranking=RankingConfig(reasons=ReasonConfig(min_similarity=0.3)),
        index=IndexConfig(),
        metrics=metrics or {"ndcg_at_20": 0.4},
    )


def publish_tiny(root: Path, builds: Path, *, seed: int = 0, keep: int = 5, **changes: object) -> Manifest:
    """Build in `builds`, publish under `root`."""
    return published_tiny(root, builds, seed=seed, keep=keep, **changes).manifest


def published_tiny(
    root: Path,
    builds: Path,
    *,
    seed: int = 0,
    keep: int = 5,
    even_if_older: bool = False,
    kept: tuple[str, ...] = (),
    **changes: object,
) -> Publication:
    """The same, with what serves afterwards and why."""
    builds.mkdir(parents=True, exist_ok=True)
    built = builds / f"built-{len(list(builds.iterdir()))}"
    write_release(replace(contents(builds, seed=seed), **changes), built)
    return publish(built, root, keep=keep, even_if_older=even_if_older, kept=kept)
