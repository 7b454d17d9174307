"""`tastefeed releases`: list, show, verify and roll back published releases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.json_output import Json, print_json
from cli.switch_commands import audit_of, operator

if TYPE_CHECKING:
    from serving.releases.manifest import Manifest

releases = typer.Typer(help="Published releases.", no_args_is_help=True)
Version = Annotated[str | None, typer.Argument(help="A release; default: the current one.")]
Previous = Annotated[str | None, typer.Argument(help="A release; default: the one before the current.")]


@releases.command("list")
def list_(*, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Every release, newest first; the current one is marked."""
    from serving.releases import publish
    from serving.releases.precedence import KIND

    root = _root(lake)
    current, manifests = publish.current_or_none(root), list(reversed(publish.list_releases(root)))
    if json:
        print_json([_described(manifest, current) for manifest in manifests])
        return
    for manifest in manifests:
        mark = "*" if manifest.version == current else " "
        users = f"{manifest.users:,} users" if manifest.profiled else "not profiled"
        reduced = f", {KIND[manifest.reduced_to]}" if manifest.profiled and manifest.reduced_to else ""
        unmeasured = ", unmeasured" if manifest.unmeasured else ""
        typer.echo(f"{mark} {manifest.version}  as of {manifest.as_of:%Y-%m-%d}, {users}{reduced}{unmeasured}")


def _described(manifest: "Manifest", current: str | None) -> dict[str, Any]:
    """A manifest without its list of files, as JSON, with whether the release serves."""
    return {"current": manifest.version == current, **manifest.model_dump(mode="json", exclude={"files"})}


@releases.command("show")
def show(version: Version = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """A release's manifest, as JSON with or without --json."""
    from serving.releases import publish

    del json  # accepted, so that every command of the group takes it
    typer.echo(publish.show(_root(lake), version).model_dump_json(indent=1))


@releases.command("verify")
def verify(version: Version = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Check every file of a release against its manifest."""
    from serving.releases import publish

    root = _root(lake)
    manifest = publish.verify(root, version)
    if json:
        print_json(_described(manifest, publish.current_or_none(root)))
    else:
        typer.echo(f"{manifest.version} is whole")


@releases.command("rollback")
def rollback(version: Previous = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Serve an earlier release again."""
    from serving.releases import publish

    manifest = publish.rollback(_root(lake), version)
    _record_rollback(lake, manifest.version)
    if json:
        print_json(_described(manifest, manifest.version))
    else:
        typer.echo(f"{manifest.version} serves now")


def _record_rollback(lake: str, version: str) -> None:
    """Add the rollback to the audit. It comes second, because a lost store must not prevent a rollback."""
    from contracts.errors import TastefeedError

    try:
        audit = audit_of(lake)
        audit.add(operator(), "release.rollback", version)
        pinned = audit.switches().pinned_release
    except TastefeedError as error:
        typer.echo(f"the rollback is not in the audit: {error}", err=True)
        return
    if pinned not in (None, version):
        typer.echo(f"{pinned} is pinned and serves until `tastefeed switches clear pinned_release`", err=True)


def _root(lake: str) -> Path:
    from contracts import Settings

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    return settings.release_root
