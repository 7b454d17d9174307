"""The text files of GroupLens without a header: fields between `::`, `|` or tabs.

10M is in UTF-8, 100K and 1M are in Latin-1."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from contracts import columns as c
from contracts.errors import UnreadableInput

GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The flags that end a line of u.item, in their order (u.genre)."""


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
