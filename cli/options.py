"""Options that several commands share."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

Lake = Annotated[str, typer.Option("--lake", envvar="TASTEFEED_LAKE", help="Folder or fsspec URL of the lake.")]
LAKE = "lake"


def parse_day(text: str) -> date:
    """`YYYY-MM-DD` as a day; typer turns the error into status 2."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write YYYY-MM-DD") from None


AsOf = Annotated[
    date | None, typer.Option("--as-of", parser=parse_day, metavar="DATE", help="Midnight UTC that ends the data.")
]
Existing = Annotated[Path | None, typer.Option(help="Parquet, CSV or JSON lines.")]
