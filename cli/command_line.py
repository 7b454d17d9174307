"""`tastefeed`: exit status 0 done, 1 the work failed (one line; `--debug` for the traceback), 2 wrong usage, 130 Ctrl-C
and 143 SIGTERM (one line)."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from cli.airflow_commands import airflow
from cli.bench_commands import bench
from cli.compare_command import compare
from cli.demo_command import demo
from cli.experiment_commands import experiment
from cli.import_commands import import_, init
from cli.json_output import Json, print_json
from cli.nightly_commands import backtest, nightly
from cli.privacy_commands import opt_outs
from cli.recommend_command import recommend
from cli.release_commands import releases
from cli.serve_command import serve
from cli.switch_commands import audit, switches
from contracts import Settings, __version__
from contracts.errors import TastefeedError, full_disk_as_os_error, one_line
from contracts.setting_variables import WRONG_SETTINGS, wrong_settings
from contracts.stop_signals import Stopped, end_process, ending_at_signals
from contracts.thread_settings import use_threads

INTERRUPTED = 130
EMPTY = "''"


def settings(*, json: Json = False) -> None:
    """Print every setting with its value, default, source and description; secrets are masked."""
    from dataclasses import asdict, replace

    from contracts.setting_variables import variables
    from pipeline.run_context import NightConfig

    given, night = Settings(), NightConfig()
    seeded = variables(night.seeded(given.seed))
    found = [
        *variables(given),
        *(
            replace(used, source="TASTEFEED_SEED") if used.value != own.value else own
            for own, used in zip(variables(night), seeded, strict=True)
        ),
    ]
    if json:
        print_json([asdict(variable) for variable in found])
        return
    for each in found:
        source = each.source if each.source == "default" else f"{each.source}; default {each.default or EMPTY}"
        typer.echo(f"{each.name} = {each.value or EMPTY} ({source})\n    {each.description}")


app = typer.Typer(
    name="tastefeed",
    help="Turn saves, clicks and sessions into a home feed every night; opt-outs hold from the next request on.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "init": init,
    "import": import_,
    "nightly": nightly,
    "recommend": recommend,
    "serve": serve,
    "backtest": backtest,
    "compare": compare,
    "settings": settings,
    "audit": audit,
}
for name, command in COMMANDS.items():
    app.command(name)(command)
app.command("airflow", context_settings={"allow_interspersed_args": False})(airflow)  # Airflow's options follow
GROUPS = {
    "opt-out": opt_outs,
    "switches": switches,
    "releases": releases,
    "experiment": experiment,
    "bench": bench,
}
for name, group in GROUPS.items():
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
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=lambda requested: _version(requested=requested),
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Options of every command."""
    with suppress(*WRONG_SETTINGS, TastefeedError):  # the command reports a wrong setting, once it reads it
        use_threads(Settings())
    del debug, version  # `--debug` is read by `nightly` and where a failure is caught, `--version` by its callback


def main() -> None:
    """Run the command line. An error of the work becomes one line and status 1, a signal one line and 128 more."""
    try:
        with ending_at_signals(), full_disk_as_os_error():
            app()
    except Stopped as stop:
        end_process(stop.status)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer's exit status for Ctrl-C
            typer.echo("tastefeed: interrupted; nothing half-written counts, run the command again", err=True)
        raise
    except (TastefeedError, *WRONG_SETTINGS, OSError) as failure:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"tastefeed: {' '.join(_readable(failure).split())}", err=True)
        raise SystemExit(1) from None


def _readable(failure: TastefeedError | ValidationError | SettingsError | OSError) -> str:
    if isinstance(failure, TastefeedError):
        return str(failure)
    if isinstance(failure, OSError):
        return one_line(failure)
    return wrong_settings(failure)
