"""Options that several commands share."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

Lake = Annotated[str, typer.Option("--lake", "-l", envvar="TASTEFEED_LAKE", help="Folder or fsspec URL of the lake.")]
LakeBesideIds = Annotated[
    str, typer.Option("--lake", envvar="TASTEFEED_LAKE", help="Folder or fsspec URL of the lake.")
]
"""For commands whose arguments may begin with a dash: `-l` would be found in such an id."""
LAKE = "lake"


def parse_day(text: str) -> date:
    """`YYYY-MM-DD` as a day; typer turns the error into status 2."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write YYYY-MM-DD") from None


AsOf = Annotated[
    date | None,
    typer.Option(
        "--as-of",
        "-d",
        parser=parse_day,
        metavar="DATE",
        help="Midnight UTC that ends the data; default: the end of the last complete day.",
    ),
]
INSTANT = "%Y-%m-%d %H:%M:%S UTC"
"""How commands print an instant."""
FILE = "Parquet, CSV or JSON lines."
Items = Annotated[Path | None, typer.Option("--items", "-i", help=FILE)]
Users = Annotated[Path | None, typer.Option("--users", "-u", help=FILE)]
OptOuts = Annotated[Path | None, typer.Option("--opt-outs", help=FILE)]
Port = Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port to listen on.")]
