"""A data set like MovieLens-100K: each user rates what is in fashion, in their own genre."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

START = datetime(1998, 1, 1, tzinfo=UTC)
DAYS, USERS, ITEMS, FASHION_DAYS = 60, 80, 240, 20
GENRES = ("Comedy", "Drama")


def ratings() -> pl.DataFrame:
    """One rating a user and day, of a new film that is in fashion; a rating of 5 in their own genre."""
    rng, rows = random.Random(7), []
    seen: dict[int, set[int]] = {user: set() for user in range(USERS)}
    for day in range(DAYS):
        worn = [item for item in range(ITEMS) if 0 <= day - first_day(item) < FASHION_DAYS]
        for user in range(USERS):
            liked = [item for item in worn if item % 2 == user % 2 and item not in seen[user]]
            item = rng.choice(liked if liked and rng.random() < 0.8 else worn)
            seen[user].add(item)
            at = START + timedelta(days=day, seconds=rng.randrange(86_000))
            rows.append((user, item, 5 if item % 2 == user % 2 else 2, int(at.timestamp())))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")


def first_day(item: int) -> int:
    """Films come into fashion one after the other, some before the first day."""
    return item * (DAYS + FASHION_DAYS) // ITEMS - FASHION_DAYS


def write(folder: Path, interactions: pl.DataFrame | None = None) -> Path:
    """`ml-100k/*.parquet` under a folder, which is what `--data` takes."""
    home = folder / "ml-100k"
    home.mkdir(parents=True)
    (ratings() if interactions is None else interactions).write_parquet(home / "interactions.parquet")
    items = range(ITEMS)
    films = {"item_id": items, "title": [f"film {row}" for row in items], "genres": [GENRES[row % 2] for row in items]}
    pl.DataFrame(films).write_parquet(home / "items.parquet")
    pl.DataFrame({"user_id": range(USERS)}).write_parquet(home / "users.parquet")
    return folder
