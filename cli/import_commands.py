"""`tastefeed init` and `import`: create a lake, and import files into its landing zone."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import options


class Source(StrEnum):
    """The layouts of files."""

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
    columns: Annotated[
        list[str], typer.Option("--map", metavar="THEIRS=OURS", help="Your name of a column, and the contract's.")
    ] = [],  # noqa: B006  typer copies
    actions: Annotated[
        list[str], typer.Option("--action", metavar="THEIRS=OURS", help="Your name of an action, and the contract's.")
    ] = [],  # noqa: B006  typer copies
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="A TOML file with such names: tables [columns] and [actions].")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be stored and what would be quarantined; store nothing.")
    ] = False,
    lake: options.Lake = options.LAKE,
) -> None:
    """Import events, items, users and opt-outs; report what was stored and what the next night will quarantine."""
    from pipeline.ingestion import ImportRequest, read_mapping
    from pipeline.ingestion.import_command import import_and_report, preview_files

    if not (events or items or users or opt_outs):
        raise typer.BadParameter("name at least one file: --events, --items, --users or --opt-outs")
    request = ImportRequest(
        source=source or "files",
        events=events,
        items=items,
        users=users,
        opt_outs=opt_outs,
        mapping=read_mapping(columns, actions, mapping),
    )
    (preview_files if dry_run else import_and_report)(request, lake)


def init(*, lake: options.Lake = options.LAKE) -> None:
    """Create a lake with an opt-out store; an existing one stays as it is."""
    from pipeline.privacy.opt_out_lake import OptOutLake

    OptOutLake.of(lake).create()
    typer.echo(f"{lake}: ready")
