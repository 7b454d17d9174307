"""`tastefeed`: exit status 0 done, 1 the work failed (one line; `--debug` for the traceback), 2 wrong usage, 130 Ctrl-C
(one line)."""

import os
import re
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import BaseSettings

from cli.bench_commands import bench
from cli.import_commands import import_, init
from cli.nightly_commands import backtest, compare, nightly
from cli.privacy_commands import opt_outs
from cli.serving_commands import recommend, releases, serve
from contracts import __version__
from contracts.errors import TastefeedError, one_line

MASK = "********"
PASSWORD_IN_URL = re.compile(r"(?<=[?&]password=)[^&\s]+|(?P<user>://[^/@\s]*?:)[^/@\s]+(?=@)")
"""The password of `postgresql://user:password@host/database` or of `…?user=user&password=password`."""


def rows(model: BaseModel, prefix: str) -> list[tuple[str, str, str]]:
    """`(variable, value, source)` of each field, nested ones joined by two underscores."""
    settings: list[tuple[str, str, str]] = []
    for name, value in model:
        variable = f"{prefix}{name}".upper()
        if isinstance(value, BaseModel):
            settings += rows(value, f"{variable}__")
        else:
            settings.append((variable, shown(value), "environment" if variable in os.environ else "default"))
    return settings


def shown(value: object) -> str:
    """A value as text. A secret shows only whether it is set; a URL shows no password."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return PASSWORD_IN_URL.sub(lambda password: (password["user"] or "") + MASK, str(value))


def settings() -> None:
    """Print every setting with where it came from, secrets masked."""
    from rich.table import Table

    from contracts import Settings
    from pipeline.console import console
    from pipeline.run_context import NightConfig

    table = Table("setting", "value", "from", box=None)
    models: tuple[BaseSettings, ...] = (Settings(), NightConfig())
    for model in models:
        for variable, value, source in rows(model, "TASTEFEED_"):
            table.add_row(variable, value, source)
    console.print(table)


INTERRUPTED = 130
app = typer.Typer(
    name="tastefeed",
    help="Turn saves, clicks and sessions into a home feed every night; opt-outs hold from the next request on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "import": import_,
    "nightly": nightly,
    "recommend": recommend,
    "serve": serve,
    "backtest": backtest,
    "compare": compare,
    "settings": settings,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
for name, group in {"opt-out": opt_outs, "releases": releases, "bench": bench}.items():
    app.add_typer(group, name=name)


def _version(*, requested: bool) -> None:
    if requested:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=lambda requested: _version(requested=requested), is_eager=True)
    ] = False,
) -> None:
    """Options of every command."""
    del debug, version  # `--debug` is read by `nightly` and where a failure is caught, `--version` by its callback


def main() -> None:
    """Run the command line. An error of the work becomes one line and status 1, Ctrl-C one line and status 130."""
    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer's exit status for Ctrl-C
            typer.echo("tastefeed: interrupted; nothing half-written counts, run the command again", err=True)
        raise
    except (TastefeedError, ValidationError, OSError) as failure:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"tastefeed: {' '.join(_readable(failure).split())}", err=True)
        raise SystemExit(1) from None


def _readable(failure: TastefeedError | ValidationError | OSError) -> str:
    if isinstance(failure, TastefeedError):
        return str(failure)
    if isinstance(failure, OSError):
        return one_line(failure)
    # A bad setting: pydantic's own text would repeat the value, which may be a secret
    wrong = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in failure.errors(include_input=False))
    return f"settings {failure.title}: {'; '.join(wrong)}; see `tastefeed settings`"
