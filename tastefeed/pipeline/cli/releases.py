"""`tastefeed releases`: what is published, whether it is whole, and the way back."""

from typing import Annotated

import typer

from tastefeed.pipeline.cli import options

releases = typer.Typer(help="Published releases.", no_args_is_help=True)
Version = Annotated[str | None, typer.Argument(help="A release; default: the current one.")]
Previous = Annotated[str | None, typer.Argument(help="A release; default: the one before the current.")]


@releases.command("list")
def list_(*, lake: options.Lake = options.LAKE) -> None:
    """Every release, newest first; the current one is marked."""
    from tastefeed.pipeline.releasing import releases_of

    store = releases_of(lake)
    current = store.current_or_none()
    for version in reversed(store.versions()):
        typer.echo(f"{'*' if version == current else ' '} {version}")


@releases.command("show")
def show(version: Version = None, *, lake: options.Lake = options.LAKE) -> None:
    """A release's manifest: what belongs together, and how it was measured."""
    from tastefeed.pipeline.releasing import releases_of

    typer.echo(releases_of(lake).show(version))


@releases.command("verify")
def verify(version: Version = None, *, lake: options.Lake = options.LAKE) -> None:
    """Check every file of a release against its manifest."""
    from tastefeed.pipeline.releasing import releases_of

    typer.echo(f"{releases_of(lake).verify(version)} is whole")


@releases.command("rollback")
def rollback(version: Previous = None, *, lake: options.Lake = options.LAKE) -> None:
    """Serve an earlier release again."""
    from tastefeed.pipeline.releasing import releases_of

    typer.echo(f"{releases_of(lake).rollback(version)} serves now")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(releases, name="releases")
