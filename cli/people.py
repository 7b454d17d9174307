"""`tastefeed init`, `recommend`, `serve` and `opt-out`: people's feeds and opt-outs on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options

opt_outs = typer.Typer(help="What people, items and creators opted out of.", no_args_is_help=True)
IDS_MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True}
STATES = {True: "opted out", False: "not opted out"}
INSTANT = "%Y-%m-%d %H:%M:%S UTC"
Subject = Annotated[str, typer.Argument(help="user, item or creator")]
SubjectId = Annotated[str, typer.Argument(help="the subject's id")]
Flag = Annotated[str, typer.Argument(help="personalization, training, erasure; recommendation of an item or creator")]


def recommend(
    *,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    users: options.Existing = None,
    k: Annotated[int, typer.Option(min=1, help="Length of a list.")] = 50,
    lake: options.Lake = options.LAKE,
) -> None:
    """Lists from the current release: user_id, item_id, rank, score, source."""
    from pipeline.recommending import recommend_to

    rows = recommend_to(lake, users=users, k=k, out=out)
    typer.echo(f"{out}: {rows:,} rows")


def serve(
    *,
    lake: options.Lake = options.LAKE,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Serve the home feed of the current release."""
    from contracts import Settings
    from serving.places import existing_lake_folder
    from serving.server import serve as run_server

    settings = Settings(lake=lake)
    existing_lake_folder(settings)
    run_server(settings, host=host, port=port, workers=workers)


@opt_outs.command("set", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def set_flag(subject_type: Subject, subject_id: SubjectId, flag: Flag, *, lake: options.Lake = options.LAKE) -> None:
    """Opt a subject out; durable before this returns."""
    from pipeline.opt_out_lake import OptOutLake

    found = OptOutLake.existing(lake)
    found.create()
    found.wishes.opt_out(subject_type, subject_id, flag)
    show(subject_type, subject_id, lake=lake)


@opt_outs.command("clear", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def clear_flag(subject_type: Subject, subject_id: SubjectId, flag: Flag, *, lake: options.Lake = options.LAKE) -> None:
    """Take an opt-out back."""
    from pipeline.opt_out_lake import OptOutLake

    OptOutLake.existing(lake).wishes.opt_in(subject_type, subject_id, flag)
    show(subject_type, subject_id, lake=lake)


@opt_outs.command("show", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def show(subject_type: Subject, subject_id: SubjectId, *, lake: options.Lake = options.LAKE) -> None:
    """Print each flag of a subject, then what will hold later."""
    from datetime import UTC, datetime

    from pipeline.opt_out_lake import OptOutLake

    store, now = OptOutLake.existing(lake).wishes.opt_outs, datetime.now(UTC)
    for word in store.show(subject_type, subject_id):
        ahead = " (it lies ahead, and holds already)" if word.effective_at > now else ""
        typer.echo(f"{word.flag:<16} {STATES[word.opted_out]:<14} since {word.effective_at:{INSTANT}}{ahead}")
    for word in store.coming(subject_type, subject_id):
        typer.echo(f"{word.flag:<16} will be {STATES[word.opted_out]} from {word.effective_at:{INSTANT}}")


@opt_outs.command("restore")
def restore(
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a store that is whole; without any backup, start an empty one.")
    ] = False,
    lake: options.Lake = options.LAKE,
) -> None:
    """Put the last backup in the place of a lost store; say how much was said since."""
    from pipeline.opt_out_lake import OptOutLake

    for line in OptOutLake.existing(lake).restore(force=force).lines():
        typer.echo(line)


def init(*, lake: options.Lake = options.LAKE) -> None:
    """Make a lake with an opt-out store; one that is there stays as it is."""
    from pipeline.opt_out_lake import OptOutLake

    OptOutLake.of(lake).create()
    typer.echo(f"{lake}: ready")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(init)
    app.command()(recommend)
    app.command()(serve)
    app.add_typer(opt_outs, name="opt-out")
