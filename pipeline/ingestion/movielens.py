"""MovieLens (`--from movielens`): each release of GroupLens as its folder is unpacked, and two of them as parquet.

100K has `u.data`; 1M and 10M have `ratings.dat`; 20M, 25M, 32M, latest and latest-small have `ratings.csv`.

A rating of 4 or more is a save, any other a click. Age, gender, occupation and zip code stay out: no taste is read from
who people are. Films have no `created_at`: all of them stood in the catalogue before anyone rated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from contracts import Action
from contracts import columns as c
from contracts.errors import SchemaMismatch, UnreadableInput
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.incoming import Incoming, Paths, count_rows, in_folder
from pipeline.ingestion.movielens_text import read_100k_items, read_fields
from pipeline.ingestion.readers import conform, names_of
from pipeline.ingestion.synthetic_time import ORDER, ORDER_NOTE, with_synthetic_time

RATING = "rating"
SAVE_FROM = 4
RATING_COLUMNS = (c.USER_ID, c.ITEM_ID, RATING, c.TIMESTAMP)
CSV_NAMES = {"userId": c.USER_ID, "movieId": c.ITEM_ID}
NO_GENRE = ("unknown", "(no genres listed)", "")
Reader = Callable[[Path], pl.DataFrame]


@dataclass(frozen=True)
class Layout:
    """One way MovieLens is handed out: the file and the reader of each table."""

    files: Mapping[str, str]
    readers: Mapping[str, Reader]


def _read_csv(path: Path) -> pl.DataFrame:
    rows = read_file(path, known=(*CSV_NAMES, RATING, c.TITLE))
    return rows.rename({theirs: ours for theirs, ours in CSV_NAMES.items() if theirs in rows.columns})


LAYOUTS = (
    Layout(
        {"events": "u.data", "items": "u.item", "users": "u.user"},
        {
            "events": lambda path: read_fields(path, "\t", RATING_COLUMNS),
            "items": read_100k_items,
            "users": lambda path: read_fields(path, "|", (c.USER_ID, "age", "gender", "occupation", "zip")),
        },
    ),
    Layout(
        {"events": "ratings.dat", "items": "movies.dat", "users": "users.dat"},
        {
            "events": lambda path: read_fields(path, "::", RATING_COLUMNS),
            "items": lambda path: read_fields(path, "::", (c.ITEM_ID, c.TITLE, "genres")),
            "users": lambda path: read_fields(path, "::", (c.USER_ID, "gender", "age", "occupation", "zip")),
        },
    ),
    Layout({"events": "ratings.csv", "items": "movies.csv"}, {"events": _read_csv, "items": _read_csv}),
    Layout(
        {"events": "interactions.parquet", "items": "items.parquet", "users": "users.parquet"},
        {"events": read_file, "items": read_file, "users": read_file},
    ),
)


def from_movielens(paths: Paths) -> Incoming:
    """Events, items and users of MovieLens. Raises `UnreadableInput` and `SchemaMismatch`."""
    layout = _layout(paths)
    files = in_folder(paths, "movielens", layout.files)
    to_contract = {"items": _items, "users": _users, "events": _events}
    raw = {table: layout.readers[table](files[table]) for table in to_contract if table in files}
    tables = tuple(conform(to_contract[table](raw[table], files[table]), table, str(files[table])) for table in raw)
    return Incoming(tables, count_rows(tables), notes=(ORDER_NOTE,) if ORDER in raw["events"].columns else ())


def _layout(paths: Paths) -> Layout:
    for path in paths.events:
        for layout in LAYOUTS:
            if path.name == layout.files["events"] or (path / layout.files["events"]).exists():
                return layout
    names = ", ".join(layout.files["events"] for layout in LAYOUTS)
    raise UnreadableInput(
        f"movielens: --events names neither a folder with one of {names}, nor one of these files; unpack the "
        "archive first"
    )


def _events(ratings: pl.DataFrame, path: Path) -> pl.DataFrame:
    _check(ratings, path, c.USER_ID, c.ITEM_ID, RATING)
    timed = with_synthetic_time(ratings) if ORDER in ratings.columns else ratings
    _check(timed, path, c.TIMESTAMP)
    rating = pl.col(RATING).cast(pl.Float64, strict=False)
    action = (
        pl.when(rating >= SAVE_FROM).then(pl.lit(Action.SAVE)).when(rating.is_not_null()).then(pl.lit(Action.CLICK))
    )
    return timed.select(c.USER_ID, c.ITEM_ID, action.alias(c.ACTION), c.TIMESTAMP)


def _items(films: pl.DataFrame, path: Path) -> pl.DataFrame:
    _check(films, path, c.ITEM_ID, c.TITLE, "genres")
    # the two parquet tables write genres with `|` or a blank between; no genre holds a blank
    between = "|" if films["genres"].str.contains("|", literal=True).any() else " "
    title = pl.col(c.TITLE)
    if "release_year" in films.columns:
        dated = pl.col("release_year").str.contains(r"^\d{4}$")
        title = pl.when(dated).then(pl.format("{} ({})", c.TITLE, "release_year")).otherwise(c.TITLE).alias(c.TITLE)
    genres = pl.col("genres").str.split(between).list.eval(pl.element().filter(~pl.element().is_in(NO_GENRE)))
    return films.select(c.ITEM_ID, title, genres.alias(c.CATEGORIES))


def _users(people: pl.DataFrame, path: Path) -> pl.DataFrame:
    _check(people, path, c.USER_ID)
    return people.select(c.USER_ID)


def _check(raw: pl.DataFrame, path: Path, *columns: str) -> None:
    missing = [column for column in columns if column not in raw.columns]
    if missing:
        raise SchemaMismatch(f"{path}: no MovieLens table, it lacks {', '.join(missing)}; have {names_of(raw.columns)}")
