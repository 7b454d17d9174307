"""`tastefeed nightly` and `tastefeed backtest`."""

from typing import Annotated

import typer

from cli import options


def nightly(context: typer.Context, *, lake: options.Lake = options.LAKE, as_of: options.AsOf = None) -> None:
    """Run the Airflow DAG `nightly` in this process and show what it made."""
    from contracts import Settings
    from pipeline.console_report import show_night
    from pipeline.local_runner import run_nightly

    show_night(run_nightly(lake, as_of, Settings(), debug=context.find_root().params["debug"]))


def backtest(
    *,
    weeks: Annotated[int, typer.Option(min=1, help="How many past weekly cuts.")] = 8,
    lake: options.Lake = options.LAKE,
    as_of: options.AsOf = None,
    out: Annotated[str, typer.Option(help="Folder for metrics.parquet and backtest.md; empty: print only.")] = "",
) -> None:
    """Measure the night honestly at past cuts: mean and intervals beside every baseline."""
    from contracts import Settings
    from pipeline.backtest import run_backtest

    run_backtest(lake, as_of, weeks=weeks, settings=Settings(), out=out)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(nightly)
    app.command()(backtest)
