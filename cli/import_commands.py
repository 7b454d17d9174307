"""`tastefeed init` and `import`: create a lake, and import files into its landing zone."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.json_output import Json, print_json, progress_on_stderr


class Source(StrEnum):
    """The layouts of files."""

    DESKDROP = "deskdrop"
    MOVIELENS = "movielens"


def import_(
    *,
    events: Annotated[list[Path], typer.Option("--events", "-e", help="Files or a folder with events.")] = [],  # noqa: B006  typer copies
    items: options.Items = None,
    users: options.Users = None,
    opt_outs: options.OptOuts = None,
    source: Annotated[
        Source | None, typer.Option("--from", help="Whose layout the files have; default: the contract's.")
    ] = None,
    columns: Annotated[
        list[str], typer.Option("--map", "-m", metavar="THEIRS=OURS", help="Your name of a column, then ours.")
    ] = [],  # noqa: B006  typer copies
    actions: Annotated[
        list[str], typer.Option("--action", "-a", metavar="THEIRS=OURS", help="Your name of an action, then ours.")
    ] = [],  # noqa: B006  typer copies
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="A TOML file with such names: tables [columns] and [actions].")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would be stored and quarantined; store nothing.")
    ] = False,
    lake: options.Lake = options.LAKE,
    json: Json = False,
) -> None:
    """Import events, items, users and opt-outs; report what was stored and what the next night will quarantine."""
    from pipeline.ingestion import ImportRequest, read_mapping
    from pipeline.ingestion.import_command import import_and_report, preview_files

    if not (events or items or users or opt_outs):
        raise typer.BadParameter("name at least one file: --events, --items, --users or --opt-outs")
    if dry_run and json:
        raise typer.BadParameter("--dry-run is for people; leave out --json")
    request = ImportRequest(
        source=source or "files",
        events=events,
        items=items,
        users=users,
        opt_outs=opt_outs,
        mapping=read_mapping(columns, actions, mapping),
    )
    if dry_run:
        preview_files(request, lake)
        return
    with progress_on_stderr(wanted=json):
        summary = import_and_report(request, lake)
    if json:
        print_json(summary.document())


def init(*, lake: options.Lake = options.LAKE) -> None:
    """Create a lake with an opt-out store; an existing one stays as it is."""
    from pipeline.privacy.opt_out_lake import OptOutLake

    OptOutLake.of(lake).create()
    typer.echo(f"{lake}: ready")
