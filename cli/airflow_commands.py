"""`tastefeed airflow`: Airflow's servers and commands for one lake."""

from typing import Annotated

import typer

from cli import options


def airflow(
    *,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COMMAND]...", help="A command of Airflow, such as `dags unpause nightly`; none: the servers."
        ),
    ] = None,
    lake: options.Lake = options.LAKE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of Airflow's page and of its APIs.")] = 8080,
) -> None:
    """Start Airflow's servers for a lake on loopback, or run one of Airflow's commands with the same settings."""
    from contracts import Settings
    from pipeline.airflow_servers import run_airflow, serve_airflow, server_environment
    from pipeline.lake import Lake

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    home = Lake(lake)
    if not arguments:
        serve_airflow(settings, home, port)
    elif status := run_airflow(arguments, server_environment(settings, home, port)):
        raise typer.Exit(status)
