"""`tastefeed init`, `recommend`, `serve` and `opt-out`: people's feeds and opt-outs on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options


def recommend(
    *,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    users: options.Existing = None,
    k: Annotated[int, typer.Option(min=1, help="Length of a list.")] = 50,
    lake: options.Lake = options.LAKE,
) -> None:
    """Lists from the current release: user_id, item_id, rank, score, source."""
    from pipeline.recommending import recommend_to

    rows = recommend_to(lake, users=users, k=k, out=out)
    typer.echo(f"{out}: {rows:,} rows")


def serve(
    *,
    lake: options.Lake = options.LAKE,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Serve the home feed of the current release."""
    from contracts import Settings
    from serving.server import serve as run_server

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    run_server(settings, host=host, port=port, workers=workers)
