"""`tastefeed init` and `import`: create a lake, and import files into its landing zone."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.json_output import Json, print_json, progress_on_stderr

if TYPE_CHECKING:
    from pipeline.ingestion import ImportRequest


class Source(StrEnum):
    """The layouts of files."""

    DESKDROP = "deskdrop"
    MOVIELENS = "movielens"


EventFiles = Annotated[list[Path], typer.Option("--events", "-e", help="Files or a folder with events.")]
Layout = Annotated[Source | None, typer.Option("--from", help="Whose layout the files have; default: the contract's.")]
ColumnNames = Annotated[
    list[str], typer.Option("--map", "-m", metavar="THEIRS=OURS", help="Your name of a column, then ours.")
]
ActionNames = Annotated[
    list[str], typer.Option("--action", "-a", metavar="THEIRS=OURS", help="Your name of an action, then ours.")
]
MappingFile = Annotated[
    Path | None, typer.Option("--mapping", help="A TOML file with such names, in the tables columns and actions.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Show what would be stored and quarantined; store nothing.")
]


def import_(
    *,
    events: EventFiles = [],  # noqa: B006  typer copies
    items: options.Items = None,
    users: options.Users = None,
    opt_outs: options.OptOuts = None,
    source: Layout = None,
    columns: ColumnNames = [],  # noqa: B006  typer copies
    actions: ActionNames = [],  # noqa: B006  typer copies
    mapping: MappingFile = None,
    dry_run: DryRun = False,
    lake: options.Lake = options.LAKE,
    json: Json = False,
) -> None:
    """Import events, items, users and opt-outs; report what was stored and what the next night will quarantine."""
    from pipeline.ingestion import ImportRequest, read_mapping

    if not (events or items or users or opt_outs):
        raise typer.BadParameter("name at least one file: --events, --items, --users or --opt-outs")
    if dry_run and json:
        raise typer.BadParameter("--dry-run is for people; leave out --json")
    names, layout = read_mapping(columns, actions, mapping), source or "files"
    _import(ImportRequest(layout, events, items, users, opt_outs, names), lake, dry_run=dry_run, json=json)


def _import(request: "ImportRequest", lake: str, *, dry_run: bool, json: bool) -> None:
    from pipeline.ingestion.import_command import import_and_report, preview_files

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
