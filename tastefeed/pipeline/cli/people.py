"""`tastefeed recommend`, `serve` and `opt-out`: the doors that people's feeds and wishes go through."""

from pathlib import Path
from typing import Annotated

import typer

from tastefeed.pipeline.cli import options

opt_outs = typer.Typer(help="What people, items and creators opted out of.", no_args_is_help=True)
IDS_MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True}
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
    from tastefeed.pipeline.recommending import recommend_to

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
    from tastefeed.contracts import Settings
    from tastefeed.serving.places import existing_lake_folder
    from tastefeed.serving.server import serve as run_server

    settings = Settings(lake=lake)
    existing_lake_folder(settings)
    run_server(settings, host=host, port=port, workers=workers)


@opt_outs.command("set", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def set_flag(subject_type: Subject, subject_id: SubjectId, flag: Flag, *, lake: options.Lake = options.LAKE) -> None:
    """Opt a subject out; durable before this returns."""
    from tastefeed.pipeline.recommending import store

    store(lake).set(subject_type, subject_id, flag)
    show(subject_type, subject_id, lake=lake)


@opt_outs.command("clear", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def clear_flag(subject_type: Subject, subject_id: SubjectId, flag: Flag, *, lake: options.Lake = options.LAKE) -> None:
    """Take an opt-out back."""
    from tastefeed.pipeline.recommending import store

    store(lake).clear(subject_type, subject_id, flag)
    show(subject_type, subject_id, lake=lake)


@opt_outs.command("show", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def show(subject_type: Subject, subject_id: SubjectId, *, lake: options.Lake = options.LAKE) -> None:
    """Print each flag of a subject."""
    from tastefeed.pipeline.recommending import store

    for opt_out in store(lake).show(subject_type, subject_id):
        state = "opted out" if opt_out.opted_out else "not opted out"
        typer.echo(f"{opt_out.flag:<16} {state:<14} since {opt_out.effective_at:%Y-%m-%d %H:%M:%S} UTC")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(recommend)
    app.command()(serve)
    app.add_typer(opt_outs, name="opt-out")
