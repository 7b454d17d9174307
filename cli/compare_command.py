"""`tastefeed compare`: compare two runs user by user."""

from typing import Annotated

import typer

from cli.json_output import Json, print_json


def compare(
    *,
    run_a: Annotated[
        str,
        typer.Argument(metavar="RUN_A", help="A night's label, a run's id, the beginning of one, or experiment/name."),
    ] = "",
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The run that is compared with it.")] = "",
    lake: Annotated[
        list[str],
        typer.Option(
            "--lake", "-l", help="Folder that holds the runs: a lake or a benchmark's --out; may be repeated."
        ),
    ] = [],  # noqa: B006  typer copies
    tracking_uri: Annotated[str, typer.Option(help="MLflow tracking URI instead of a folder.")] = "",
    metric: Annotated[str, typer.Option(help="Metric of the verdict; empty: that of RUN_A.")] = "",
    json: Json = False,
) -> None:
    """Paired differences of two runs with intervals, and a verdict; without runs: those that can be compared."""
    from contracts import Settings
    from pipeline.console import console
    from pipeline.experiments.compare import comparable_runs, compare_runs, document, stores
    from pipeline.experiments.compare_screen import runs_table, screen

    settings = Settings()
    if run_a and not run_b:
        raise typer.BadParameter("give two runs, or none to list them")
    if not run_a:
        runs = comparable_runs(stores(lake, tracking_uri, settings))
        shown, content = runs_table(runs), {"runs": runs.to_dicts()}
    else:
        compared = compare_runs(run_a, run_b, lakes=lake, uri=tracking_uri, metric=metric, settings=settings)
        shown, content = screen(compared), document(compared)
    if json:
        print_json(content)
    else:
        console.print(shown)
