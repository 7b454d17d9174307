"""`tastefeed import`: files into the landing zone."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tastefeed.pipeline.cli import options


class Source(StrEnum):
    """Whose layout the files have."""

    DESKDROP = "deskdrop"
    MOVIELENS = "movielens"


def import_(
    *,
    events: Annotated[list[Path], typer.Option("--events", help="Files (or a source's folder) with events.")] = [],  # noqa: B006  typer copies
    items: options.Existing = None,
    users: options.Existing = None,
    opt_outs: options.Existing = None,
    source: Annotated[
        Source | None, typer.Option("--from", help="Whose layout the files have; default: the contract's.")
    ] = None,
    lake: options.Lake = options.LAKE,
) -> None:
    """Land events, items, users and opt-outs; say what came in and what the next night will refuse."""
    from tastefeed.pipeline.landing import land_files

    if not (events or items or users or opt_outs):
        raise typer.BadParameter("name at least one file: --events, --items, --users or --opt-outs")
    land_files(source, events=events, items=items, users=users, opt_outs=opt_outs, lake=lake)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("import")(import_)
