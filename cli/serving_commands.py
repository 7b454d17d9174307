"""`tastefeed recommend` and `serve`: lists from the current release, to a file or over HTTP."""

import errno
import os
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
    rows = write_recommendations(lake, users=users, k=k, out=out)
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


def write_recommendations(lake: str, *, users: Path | None, k: int, out: Path) -> int:
    """Write `user_id, item_id, rank, score, source` for the users of a file or for all users; returns the row count."""
    import pyarrow.parquet as pq

    from contracts import Settings
    from contracts.atomic_files import replacing
    from pipeline.ingestion.landing_zone import user_ids_of_events
    from pipeline.ingestion.strict_files import read_user_ids
    from pipeline.lake import Lake
    from serving.batch_inference import recommend as recommend_users
    from serving.privacy.opt_out_service import OptOutService
    from serving.releases import publish

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    if out.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
    release, stores = publish.load(settings.release_root), OptOutService.of(settings)
    user_ids = read_user_ids(users) if users else None
    if user_ids is None and not release.profiled:  # such a release names no user itself
        user_ids = user_ids_of_events(Lake(lake))
    lists = recommend_users(release, user_ids, k, stores.opt_outs, events=stores.events)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as fresh:
        pq.write_table(lists, fresh, compression="zstd")
    return int(lists.num_rows)
