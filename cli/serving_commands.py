"""`tastefeed releases`, and `recommend` and `serve`: lists from the current release, to a file or over HTTP."""

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.json_output import Json, print_json

if TYPE_CHECKING:
    from serving.releases.manifest import Manifest


def recommend(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.")],
    users: options.Users = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Length of a list.")] = 50,
    lake: options.Lake = options.LAKE,
    json: Json = False,
) -> None:
    """Lists from the current release: user_id, item_id, rank, score, source."""
    rows = write_recommendations(lake, users=users, k=k, out=out)
    if json:
        print_json({"out": out, "rows": rows})
    else:
        typer.echo(f"{out}: {rows:,} rows")


def serve(
    *,
    lake: options.Lake = options.LAKE,
    host: str = "127.0.0.1",
    port: options.Port = 8000,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1)] = 1,
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
    from pipeline.ingestion.import_files import read_user_ids
    from pipeline.ingestion.landing_zone import user_ids_of_events
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


releases = typer.Typer(help="Published releases.", no_args_is_help=True)
Version = Annotated[str | None, typer.Argument(help="A release; default: the current one.")]
Previous = Annotated[str | None, typer.Argument(help="A release; default: the one before the current.")]


@releases.command("list")
def list_(*, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Every release, newest first; the current one is marked."""
    from serving.releases import publish

    root = _root(lake)
    current, manifests = publish.current_or_none(root), list(reversed(publish.list_releases(root)))
    if json:
        print_json([_described(manifest, current) for manifest in manifests])
        return
    for manifest in manifests:
        mark = "*" if manifest.version == current else " "
        what = f"{manifest.users:,} users" if manifest.profiled else "not profiled"
        typer.echo(f"{mark} {manifest.version}  as of {manifest.as_of:%Y-%m-%d}, {what}")


def _described(manifest: "Manifest", current: str | None) -> dict[str, Any]:
    """A manifest without its list of files, as JSON, with whether the release serves."""
    return {"current": manifest.version == current, **manifest.model_dump(mode="json", exclude={"files"})}


@releases.command("show")
def show(version: Version = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """A release's manifest, as JSON with or without --json."""
    from serving.releases import publish

    del json  # accepted, so that every command of the group takes it
    typer.echo(publish.show(_root(lake), version).model_dump_json(indent=1))


@releases.command("verify")
def verify(version: Version = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Check every file of a release against its manifest."""
    from serving.releases import publish

    root = _root(lake)
    manifest = publish.verify(root, version)
    if json:
        print_json(_described(manifest, publish.current_or_none(root)))
    else:
        typer.echo(f"{manifest.version} is whole")


@releases.command("rollback")
def rollback(version: Previous = None, *, lake: options.Lake = options.LAKE, json: Json = False) -> None:
    """Serve an earlier release again."""
    from serving.releases import publish

    manifest = publish.rollback(_root(lake), version)
    if json:
        print_json(_described(manifest, manifest.version))
    else:
        typer.echo(f"{manifest.version} serves now")


def _root(lake: str) -> Path:
    from contracts import Settings

    settings = Settings(lake=lake)
    settings.require_lake_folder()
    return settings.release_root
