"""`tastefeed bench …`, which the command line finds through its entry point."""

from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(help="Benchmarks that anyone can rerun.", no_args_is_help=True)


@bench.callback()
def options() -> None:
    """Benchmarks that anyone can rerun; each writes metrics.json and its raw outputs under --out."""


@bench.command()
def retrieval(
    *,
    train: Annotated[Path, typer.Option(help="Parquet: user_id, item_id, optional timestamp or row order as time.")],
    test: Annotated[Path, typer.Option(help="Parquet: user_id, item_id.")],
    k: Annotated[int, typer.Option(min=1)] = 20,
    out: Annotated[Path, typer.Option(help="Folder for top_k.parquet and metrics.json.")],
) -> None:
    """The two-tower with its shipped defaults on data it has never seen."""
    from tastefeed.bench.retrieval import run
    from tastefeed.contracts import Settings

    for name, value in run(train, test, k=k, out=out, settings=Settings()).items():
        typer.echo(f"{name:<16} {value:,.4f}" if isinstance(value, float) else f"{name:<16} {value:,}")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(bench, name="bench")
