"""`tastefeed nightly`, `backtest` and `compare`: train, evaluate and compare runs."""

from typing import Annotated

import typer

from cli import options
from cli.json_output import Json, print_json, progress_on_stderr


def nightly(
    context: typer.Context,
    *,
    lake: options.Lake = options.LAKE,
    as_of: options.AsOf = None,
    label: Annotated[str, typer.Option("--label", help="Name of the run in MLflow and for `tastefeed compare`.")] = "",
    publish: Annotated[
        bool, typer.Option("--publish", help="Serve the release even if one of a later day serves.")
    ] = False,
    json: Json = False,
) -> None:
    """Run the Airflow DAG `nightly` in this process and print a report."""
    from contracts import Settings
    from pipeline.console_report import night_document, show_night
    from pipeline.local_runner import run_nightly

    with progress_on_stderr(wanted=json):
        debug = context.find_root().params["debug"]
        night = run_nightly(lake, as_of, Settings(), label=label, publish=publish, debug=debug)
        show_night(night)
    if json:
        print_json(night_document(night))


def backtest(
    *,
    weeks: Annotated[int, typer.Option("--weeks", "-w", min=1, help="Number of past weekly cutoffs.")] = 8,
    lake: options.Lake = options.LAKE,
    as_of: options.AsOf = None,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for metrics.parquet and backtest.md; empty: print only.")
    ] = "",
    frontier: Annotated[str, typer.Option(help="Folder for what lists that differ cost; empty: not computed.")] = "",
    json: Json = False,
) -> None:
    """Evaluate the night at past cutoffs: means and intervals beside every baseline."""
    from contracts import Settings
    from pipeline.backtest import run_backtest

    with progress_on_stderr(wanted=json):
        result = run_backtest(lake, as_of, weeks=weeks, settings=Settings(), out=out, frontier=frontier)
    if json:
        print_json(result.document())


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
