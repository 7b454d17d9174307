"""The text files of GroupLens: Latin-1, no header, fields between `::`, `|` or tabs."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tastefeed.contracts import columns as c
from tastefeed.contracts.errors import UnreadableInput

GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The flags that end a line of u.item, in their order (u.genre)."""


def read_fields(path: Path, separator: str, names: Sequence[str]) -> pl.DataFrame:
    """Every field as text. Raises `UnreadableInput` naming the first line with another number of fields."""
    if not path.is_file() or path.stat().st_size == 0:
        raise UnreadableInput(f"{path}: {'is empty (0 bytes)' if path.exists() else 'no such file'}; unpack it again")
    # split at "\n" alone: splitlines() also cuts at Latin-1's \x85
    text = path.read_bytes().decode("latin-1").removesuffix("\n").split("\n")
    lines = pl.Series("line", text, pl.String).str.strip_chars_end("\r")
    wrong = lines.str.count_matches(separator, literal=True) != len(names) - 1
    if wrong.any():
        number = int(wrong.arg_max() or 0) + 1
        raise UnreadableInput(
            f"{path}: line {number} has not {len(names)} fields with {separator!r} between; unpack it again"
        )
    return lines.str.split_exact(separator, len(names) - 1).struct.rename_fields(list(names)).struct.unnest()


def read_100k_items(path: Path) -> pl.DataFrame:
    """The films of u.item, genre flags folded into one text with `|` between."""
    films = read_fields(path, "|", (c.ITEM_ID, c.TITLE, "released", "video", "imdb", *GENRES_100K))
    names = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K]
    return films.select(c.ITEM_ID, c.TITLE, pl.concat_str(names, separator="|", ignore_nulls=True).alias("genres"))
