"""`tastefeed switches` sets the kill switches; `tastefeed audit` prints who changed switches, opt-outs and releases."""

from dataclasses import asdict
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.json_output import Json, print_json

if TYPE_CHECKING:
    from contracts import Settings
    from serving.privacy.admin_audit import AdminAudit
    from serving.privacy.switch_store import SwitchState, SwitchStore

switches = typer.Typer(help="Kill switches, in effect on the next request.", no_args_is_help=True)
UNKNOWN = "unknown"
"""In place of a pseudonym whose key cannot be read."""
Name = Annotated[str, typer.Argument(help="personalization, two_tower, fresh, popular, exploration or pinned_release")]
Value = Annotated[str | None, typer.Argument(help="The version of the release to pin; nothing for the others.")]


@switches.command("set")
def set_switch(name: Name, value: Value = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Switch something off for every feed, or pin a release."""
    from contracts.switches import SwitchName, checked_switch
    from pipeline.privacy.opt_out_lake import OptOutLake
    from serving.privacy.switch_store import SwitchStore
    from serving.releases.publish import verify

    switch, checked = checked_switch(name, value)
    of_lake = OptOutLake.existing(lake)
    if switch is SwitchName.PINNED_RELEASE:
        verify(of_lake.settings.release_root, checked)
    of_lake.create()
    _print([SwitchStore(of_lake.opt_out_service.opt_outs).set(switch, checked, by=operator())], json=json)


@switches.command("clear")
def clear_switch(name: Name, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Clear a switch."""
    _print([_switches(lake).clear(name, by=operator())], json=json)


@switches.command("show")
def show_switches(*, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Print every switch, with who set it and when."""
    _print(_switches(lake).show(), json=json)


def audit(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Entries, the newest ones.")] = 100,
    lake: options.Lake = options.LAKE,
    json: Json = False,
) -> None:
    """Print who changed switches, opt-outs and releases, the newest entry first; subjects are pseudonyms."""
    entries = audit_of(lake).newest(limit)
    if json:
        print_json([asdict(entry) for entry in entries])
        return
    for entry in entries:
        typer.echo(
            f"{entry.at:{options.INSTANT}}  {entry.who:<16} {entry.action:<16} {entry.subject} {entry.detail}".rstrip()
        )


def audit_of(lake: str) -> "AdminAudit":
    """The audit of a lake."""
    from pipeline.privacy.opt_out_lake import OptOutLake
    from serving.privacy.admin_audit import AdminAudit

    of_lake = OptOutLake.existing(lake)
    return AdminAudit(of_lake.opt_out_service.opt_outs, lambda subject_id: _pseudonym(of_lake.settings, subject_id))


def _pseudonym(settings: "Settings", subject_id: str) -> str:
    """The pseudonym of a subject. Without the key it is unknown: an opt-out is more important than its entry."""
    from contracts.errors import BadSetting
    from serving.privacy.pseudonyms import pseudonyms

    try:
        return pseudonyms(settings)(subject_id)
    except BadSetting as error:
        typer.echo(f"the audit names the subject as {UNKNOWN!r}: {error}", err=True)
        return UNKNOWN


def operator() -> str:
    """Who uses the command line, for the audit: the account of this machine."""
    try:
        return f"cli:{getuser()}"
    except OSError:  # a container may run as a user without a name
        return "cli:unknown"


def _switches(lake: str) -> "SwitchStore":
    from pipeline.privacy.opt_out_lake import OptOutLake
    from serving.privacy.switch_store import SwitchStore

    return SwitchStore(OptOutLake.existing(lake).opt_out_service.opt_outs)


def _print(states: "list[SwitchState]", *, json: bool) -> None:
    if json:
        print_json([asdict(state) for state in states])
        return
    for state in states:
        since = f" since {state.set_at:{options.INSTANT}} by {state.set_by}" if state.set_at else ""
        typer.echo(f"{state.name:<16} {state.value or 'not set'}{since}")
