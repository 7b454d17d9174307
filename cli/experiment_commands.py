"""`tastefeed experiment`: the report of an A/B experiment."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.json_output import Json, print_json

experiment = typer.Typer(help="A/B experiments of the feed.", no_args_is_help=True)


@experiment.callback()
def options_of_group() -> None:
    """A/B experiments of the feed; the setting `TASTEFEED_EXPERIMENT` runs one."""


@experiment.command("report")
def report(
    file: Annotated[
        Path | None, typer.Argument(help="JSON file of the experiment; default: TASTEFEED_EXPERIMENT.")
    ] = None,
    *,
    days_before: Annotated[int, typer.Option(min=0, help="Days before a user's first page that CUPED uses.")] = 28,
    lake: options.Lake = options.LAKE,
    json: Json = False,
) -> None:
    """Compare the arms by clicks and saves a user, and log the result to MLflow."""
    from contracts import Settings
    from contracts.errors import BadSetting
    from pipeline.experiments.ab_report import log_report, report_of
    from pipeline.lake import Lake
    from serving.ab_experiment import read_experiment

    settings = Settings(lake=lake)
    running = read_experiment(file or settings.experiment)
    if running is None:
        raise BadSetting("name the JSON file of an experiment, or set TASTEFEED_EXPERIMENT")
    home = Lake(lake)
    home.require()
    found = report_of(home, settings, running, days_before=days_before)
    run = log_report(found, settings, home, days_before)
    if json:
        print_json({**found.document(), "mlflow_run": run})
        return
    for line in found.lines():
        typer.echo(line)
