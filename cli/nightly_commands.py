"""`tastefeed nightly` and `tastefeed backtest`: train and evaluate."""

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
