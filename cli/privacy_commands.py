"""`tastefeed opt-out`: set, clear, show and restore opt-outs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.json_output import JsonBesideIds, print_json
from cli.switch_commands import audit_of, operator

if TYPE_CHECKING:
    from contracts import OptOut

opt_outs = typer.Typer(help="Opt-outs of users, items and creators.", no_args_is_help=True)
IDS_MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""These commands have no short options, because such an id could contain their letters."""
STATES = {True: "opted out", False: "not opted out"}
Subject = Annotated[str, typer.Argument(help="user, item or creator")]
SubjectId = Annotated[str, typer.Argument(help="the subject's id")]
Flag = Annotated[str, typer.Argument(help="personalization, training, erasure; recommendation of an item or creator")]


@opt_outs.command("set", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def set_flag(
    subject_type: Subject,
    subject_id: SubjectId,
    flag: Flag,
    *,
    lake: options.LakeBesideIds = options.LAKE,
    json: JsonBesideIds = False,
) -> None:
    """Opt a subject out; durable before this returns."""
    from pipeline.privacy.opt_out_lake import OptOutLake

    opt_outs_of_lake = OptOutLake.existing(lake)
    opt_outs_of_lake.create()
    entry = audit_of(lake).of_opt_out(operator(), "opt_out.set", subject_type, subject_id, flag)
    opt_outs_of_lake.opt_out_service.opt_out(subject_type, subject_id, flag, entry)
    show(subject_type, subject_id, lake=lake, json=json)


@opt_outs.command("clear", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def clear_flag(
    subject_type: Subject,
    subject_id: SubjectId,
    flag: Flag,
    *,
    lake: options.LakeBesideIds = options.LAKE,
    json: JsonBesideIds = False,
) -> None:
    """Take an opt-out back."""
    from pipeline.privacy.opt_out_lake import OptOutLake

    entry = audit_of(lake).of_opt_out(operator(), "opt_out.clear", subject_type, subject_id, flag)
    OptOutLake.existing(lake).opt_out_service.opt_in(subject_type, subject_id, flag, entry)
    show(subject_type, subject_id, lake=lake, json=json)


@opt_outs.command("show", context_settings=IDS_MAY_BEGIN_WITH_A_DASH)
def show(
    subject_type: Subject,
    subject_id: SubjectId,
    *,
    lake: options.LakeBesideIds = options.LAKE,
    json: JsonBesideIds = False,
) -> None:
    """Print each flag of a subject, then the flags that will be active later."""
    from datetime import UTC, datetime

    from pipeline.privacy.opt_out_lake import OptOutLake

    store, now = OptOutLake.existing(lake).opt_out_service.opt_outs, datetime.now(UTC)
    active, coming = store.show(subject_type, subject_id), store.coming(subject_type, subject_id)
    if json:
        subject = {"subject_type": subject_type, "subject_id": subject_id}
        print_json({**subject, "flags": list(map(_described, active)), "coming": list(map(_described, coming))})
        return
    for record in active:
        ahead = " (it lies ahead, and holds already)" if record.effective_at > now else ""
        typer.echo(
            f"{record.flag:<16} {STATES[record.opted_out]:<14} since {record.effective_at:{options.INSTANT}}{ahead}"
        )
    for record in coming:
        typer.echo(f"{record.flag:<16} will be {STATES[record.opted_out]} from {record.effective_at:{options.INSTANT}}")


def _described(record: "OptOut") -> dict[str, Any]:
    return {"flag": record.flag, "opted_out": record.opted_out, "effective_at": record.effective_at}


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
