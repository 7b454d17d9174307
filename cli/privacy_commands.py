"""`tastefeed opt-out`: set, clear, show and restore opt-outs."""

from typing import Annotated

import typer

from cli import options

opt_outs = typer.Typer(help="Opt-outs of users, items and creators.", no_args_is_help=True)
IDS_MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True}
STATES = {True: "opted out", False: "not opted out"}
INSTANT = "%Y-%m-%d %H:%M:%S UTC"
Subject = Annotated[str, typer.Argument(help="user, item or creator")]
SubjectId = Annotated[str, typer.Argument(help="the subject's id")]
Flag = Annotated[str, typer.Argument(help="personalization, training, erasure; recommendation of an item or creator")]


@opt_outs.command("set", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def set_flag(subject_type: Subject, subject_id: SubjectId, flag: Flag, *, lake: options.Lake = options.LAKE) -> None:
    """Opt a subject out; durable before this returns."""
    from pipeline.privacy.opt_out_lake import OptOutLake

    opt_outs_of_lake = OptOutLake.existing(lake)
    opt_outs_of_lake.create()
    opt_outs_of_lake.opt_out_service.opt_out(subject_type, subject_id, flag)
    show(subject_type, subject_id, lake=lake)


@opt_outs.command("clear", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def clear_flag(subject_type: Subject, subject_id: SubjectId, flag: Flag, *, lake: options.Lake = options.LAKE) -> None:
    """Take an opt-out back."""
    from pipeline.privacy.opt_out_lake import OptOutLake

    OptOutLake.existing(lake).opt_out_service.opt_in(subject_type, subject_id, flag)
    show(subject_type, subject_id, lake=lake)


@opt_outs.command("show", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def show(subject_type: Subject, subject_id: SubjectId, *, lake: options.Lake = options.LAKE) -> None:
    """Print each flag of a subject, then the flags that will be active later."""
    from datetime import UTC, datetime

    from pipeline.privacy.opt_out_lake import OptOutLake

    store, now = OptOutLake.existing(lake).opt_out_service.opt_outs, datetime.now(UTC)
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
    """Replace a lost store by the last backup; report how many records are newer than the backup."""
    from pipeline.privacy.opt_out_lake import OptOutLake

    for line in OptOutLake.existing(lake).restore(force=force).lines():
        typer.echo(line)
