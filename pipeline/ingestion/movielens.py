"""MovieLens (`--from movielens`): each release of GroupLens as its folder is unpacked, and two of them as parquet.

100K has `u.data`; 1M and 10M have `ratings.dat`; 20M, 25M, 32M, latest and latest-small have `ratings.csv`. The text
files of 10M are in UTF-8, those of 100K and 1M are in Latin-1.

A rating of 4 or more becomes a save, any other a click. Age, gender, occupation and zip code are left out, because no
feature reads who users are. Films have no `created_at`: all of them were in the catalogue before the first rating.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from contracts import Action
from contracts import columns as c
from contracts.errors import UnreadableInput
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.readers import ImportRequest, Incoming, conform, count_rows, in_folder, require_columns

RATING = "rating"
SAVE_FROM = 4
RATING_COLUMNS = (c.USER_ID, c.ITEM_ID, RATING, c.TIMESTAMP)
CSV_NAMES = {"userId": c.USER_ID, "movieId": c.ITEM_ID}
NO_GENRE = ("unknown", "(no genres listed)", "")
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The flags that end a line of u.item, in their order (u.genre)."""
ORDER = "time_pos"
"""The position of an event in a user's history, from 1 on; null where it is not known."""

START = datetime(2000, 1, 1, tzinfo=UTC)
SPAN = timedelta(weeks=52)
ORDER_NOTE = (
    "only each user's order is known: timestamps are made up, strictly increasing for each user and spread evenly "
    f"over {START:%Y-%m-%d} to {START + SPAN:%Y-%m-%d}; rows without an order come first; times of day, sessions and "
    "the order of different users mean nothing"
)
Reader = Callable[[Path], pl.DataFrame]


@dataclass(frozen=True)
class Layout:
    """One layout of MovieLens: the file and the reader of each table."""

    files: Mapping[str, str]
    readers: Mapping[str, Reader]


def read_fields(path: Path, separator: str, names: Sequence[str]) -> pl.DataFrame:
    """Every field as text. Raises `UnreadableInput` naming the first line with another number of fields."""
    if not path.is_file():
        raise UnreadableInput(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; unpack it again")
    if path.stat().st_size == 0:
        raise UnreadableInput(f"{path}: is empty (0 bytes); unpack it again")
    lines = _lines(path).str.strip_chars_end("\r")
    wrong = lines.str.count_matches(separator, literal=True) != len(names) - 1
    if wrong.any():
        number = int(wrong.arg_max() or 0) + 1
        raise UnreadableInput(
            f"{path}: line {number} has not {len(names)} fields with {separator!r} between; unpack it again"
        )
    return lines.str.split_exact(separator, len(names) - 1).struct.rename_fields(list(names)).struct.unnest()


def _lines(path: Path) -> pl.Series:
    """The lines of a file in UTF-8, or in Latin-1 where it is no UTF-8."""
    try:
        return pl.read_lines(path).to_series()
    except PolarsError:
        with tempfile.TemporaryDirectory(prefix="tastefeed-") as folder:
            copy = Path(folder) / "lines"
            with path.open("rb") as latin, copy.open("wb") as out:
                out.writelines(line.decode("latin-1").encode("utf-8") for line in latin)
            return pl.read_lines(copy).to_series()


def read_100k_items(path: Path) -> pl.DataFrame:
    """The films of u.item, genre flags folded into one text with `|` between."""
    films = read_fields(path, "|", (c.ITEM_ID, c.TITLE, "released", "video", "imdb", *GENRES_100K))
    names = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K]
    return films.select(c.ITEM_ID, c.TITLE, pl.concat_str(names, separator="|", ignore_nulls=True).alias("genres"))


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


def from_movielens(request: ImportRequest) -> Incoming:
    """Events, items and users of MovieLens. Raises `UnreadableInput` and `SchemaMismatch`."""
    layout = _layout(request)
    files = in_folder(request, layout.files)
    to_contract = {"items": _items, "users": _users, "events": _events}
    raw = {table: layout.readers[table](files[table]) for table in to_contract if table in files}
    tables = tuple(conform(to_contract[table](raw[table], files[table]), table, str(files[table])) for table in raw)
    return Incoming(tables, count_rows(tables), notes=(ORDER_NOTE,) if ORDER in raw["events"].columns else ())


def _layout(request: ImportRequest) -> Layout:
    for path in map(Path, request.events):
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
    # the two parquet tables write genres with `|` or a blank between; no genre contains a blank
    between = "|" if films["genres"].str.contains("|", literal=True).any() else " "
    title = pl.col(c.TITLE)
    if "release_year" in films.columns:
        dated = pl.col("release_year").str.contains(r"^\d{4}$")
        title = pl.when(dated).then(pl.format("{} ({})", c.TITLE, "release_year")).otherwise(c.TITLE).alias(c.TITLE)
    genres = pl.col("genres").str.split(between).list.eval(pl.element().filter(~pl.element().is_in(NO_GENRE)))
    return films.select(c.ITEM_ID, title, genres.alias(c.CATEGORIES))


def _users(users: pl.DataFrame, path: Path) -> pl.DataFrame:
    _check(users, path, c.USER_ID)
    return users.select(c.USER_ID)


def _check(raw: pl.DataFrame, path: Path, *columns: str) -> None:
    require_columns(raw, columns, path, "MovieLens")


def with_synthetic_time(ordered: pl.DataFrame) -> pl.DataFrame:
    """`timestamp` in the order of `time_pos` for each user, with every user's events spread over the same 52 weeks.

    With a common span, a cutoff takes the same share of each history. The held-out last days then contain the last
    events of each user, as in leave-one-out protocols. Rows without an order come first, by item, so that they do not
    change the last events.
    """
    rows = ordered.sort(c.USER_ID, ORDER, c.ITEM_ID, nulls_last=False)
    place = (pl.int_range(pl.len()) + 0.5).over(c.USER_ID) / pl.len().over(c.USER_ID)
    microseconds = (place * (SPAN / timedelta(microseconds=1))).cast(pl.Int64)
    return rows.with_columns(
        (pl.lit(START, pl.Datetime("us", "UTC")) + pl.duration(microseconds=microseconds)).alias(c.TIMESTAMP)
    )
