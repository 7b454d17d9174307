"""`tastefeed releases`: list, show, verify and roll back releases."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options

releases = typer.Typer(help="Published releases.", no_args_is_help=True)
Version = Annotated[str | None, typer.Argument(help="A release; default: the current one.")]
Previous = Annotated[str | None, typer.Argument(help="A release; default: the one before the current.")]


@releases.command("list")
def list_(*, lake: options.Lake = options.LAKE) -> None:
    """Every release, newest first; the current one is marked."""
    from serving.releases import publish

    root = _root(lake)
    current = publish.current_or_none(root)
    for manifest in reversed(publish.list_releases(root)):
        mark = "*" if manifest.version == current else " "
        what = f"{manifest.users:,} users" if manifest.profiled else "not profiled"
        typer.echo(f"{mark} {manifest.version}  as of {manifest.as_of:%Y-%m-%d}, {what}")


@releases.command("show")
def show(version: Version = None, *, lake: options.Lake = options.LAKE) -> None:
    """A release's manifest."""
    from serving.releases import publish

    typer.echo(publish.show(_root(lake), version).model_dump_json(indent=1))


@releases.command("verify")
def verify(version: Version = None, *, lake: options.Lake = options.LAKE) -> None:
    """Check every file of a release against its manifest."""
    from serving.releases import publish

    typer.echo(f"{publish.verify(_root(lake), version).version} is whole")


@releases.command("rollback")
def rollback(version: Previous = None, *, lake: options.Lake = options.LAKE) -> None:
    """Serve an earlier release again."""
    from serving.releases import publish

    typer.echo(f"{publish.rollback(_root(lake), version).version} serves now")


def _root(lake: str) -> Path:
    from contracts import Settings

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    return settings.release_root
