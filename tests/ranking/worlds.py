"""Three users and five items, small enough to compute by hand; and larger worlds at random."""

import numpy as np

from ranking.feature_arrays import Candidates, Items, Users, ids_of
from ranking.feature_names import ITEM_FEATURE_NAMES, USER_FEATURE_NAMES

NOW = 40.0
"""The time of each request, in hours since 1970."""
ANN, HIDER, NEWCOMER = 0, 1, 2


def items() -> Items:
    features = np.zeros((5, len(ITEM_FEATURE_NAMES)), np.float32)
    features[:, ITEM_FEATURE_NAMES.index("users")] = [4, 3, 26, 2, 1]
    features[:, ITEM_FEATURE_NAMES.index("users_1d")] = [0, 1, 2, 2, 0]
    features[:, ITEM_FEATURE_NAMES.index("users_7d")] = [0, 3, 5, 4, 0]
    features[:, ITEM_FEATURE_NAMES.index("creator_items")] = [1, 1, 1, 0, 1]
    return Items(
        ids=ids_of(["old", "both", "save", "unsigned", "undated"]),
        creator=np.array([0, 0, 1, -1, 1], np.int32),
        language=np.array([0, 0, 1, -1, 0], np.int32),
        category_offsets=np.array([0, 1, 3, 3, 4, 5]),
        category_codes=np.array([0, 0, 1, 1, 1], np.int32),
        created_hours=np.array([0, 10, 20, 30, np.nan]),
        vectors=np.array([[1, 0], [0, 1], [0, 2], [2, 1], [1, 1]], np.float32),
        text_vectors=np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 0], [0.8, 0.6]], np.float32),
        features=features,
    )


def users() -> Users:
    return Users(
        ids=ids_of(["ann", "hider", "newcomer"]),
        region=np.zeros(3, np.int32),
        vectors=np.array([[1, 2], [0, 1], [1, 0]], np.float32),
        features=np.arange(3, dtype=np.float32)[:, None] + np.zeros((1, len(USER_FEATURE_NAMES)), np.float32),
        history_offsets=np.array([0, 2, 3, 3]),
        history_items=np.array([0, 2, 1], np.int32),  # ann clicked `old` and saved `save`; hider hid `both`
        history_saves=np.array([0, 1, 0], np.float32),
        history_clicks=np.array([1, 0, 0], np.float32),
        history_hours=np.array([12, 25, 11.0]),
    )


def pairs(*wanted: tuple[int, int], sources: int = 1) -> Candidates:
    user_rows, item_rows = np.array(wanted, np.int32).reshape(-1, 2).T
    scores = np.einsum("pd,pd->p", users().vectors[user_rows], items().vectors[item_rows])
    return Candidates(user_rows, item_rows, np.full(len(user_rows), sources, np.uint8), scores)


def random_world(seed: int, *, user_count: int = 12, things: int = 60) -> tuple[Users, Items]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 8, user_count)
    history = np.concatenate([rng.choice(things, size, replace=False) for size in lengths] or [np.zeros(0)])
    categories = rng.integers(0, 3, things)
    text = rng.normal(size=(things, 6)).astype(np.float32)
    return (
        Users(
            ids=ids_of([f"u{row}" for row in range(user_count)]),
            region=np.zeros(user_count, np.int32),
            vectors=rng.normal(size=(user_count, 4)).astype(np.float32),
            features=rng.normal(size=(user_count, len(USER_FEATURE_NAMES))).astype(np.float32),
            history_offsets=np.concatenate([[0], np.cumsum(lengths)]),
            history_items=history.astype(np.int32),
            history_saves=rng.random(len(history)).astype(np.float32),
            history_clicks=rng.random(len(history)).astype(np.float32),
            history_hours=rng.random(len(history)) * 90,
        ),
        Items(
            ids=ids_of([f"i{row}" for row in range(things)]),
            creator=rng.integers(-1, 6, things).astype(np.int32),
            language=rng.integers(-1, 2, things).astype(np.int32),
            category_offsets=np.concatenate([[0], np.cumsum(categories)]),
            category_codes=rng.integers(0, 5, categories.sum()).astype(np.int32),
            created_hours=np.where(rng.random(things) < 0.1, np.nan, rng.random(things) * 100),
            vectors=rng.normal(size=(things, 4)).astype(np.float32),
            text_vectors=text / np.linalg.norm(text, axis=1, keepdims=True),
            features=np.abs(rng.normal(size=(things, len(ITEM_FEATURE_NAMES)))).astype(np.float32),
        ),
    )
