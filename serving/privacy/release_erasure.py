"""Forgetting people in what is published: a revision of each release without their rows, and the original is gone."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts import columns as c
from contracts.errors import ReleaseCorrupt
from ranking.feature_arrays import Users, marked
from serving.releases.manifest import MANIFEST, Manifest, verify_folder, write_manifest
from serving.releases.publish import STAGING, current_or_none, discard, install, point, publishing, remove
from serving.releases.serialization import read_arrays, read_ids, without_users, write_arrays

CATALOGUE_FILE = "catalogue.parquet"
USER_FILES = ("users.safetensors", "users.parquet")


def scrub(root: Path, user_ids: Iterable[str], withheld_creators: Iterable[str] = ()) -> dict[str, str]:
    """Take users out of every release: id, vector, features and history, and their name where they are an item's
    creator. Returns old version to new.

    The items of withheld creators who lose their name count as removed: nobody could tell any more whose they are.

    Each revision is published like any release; the pointer follows if the original was current. Killed in the middle,
    it is finished by the next call. Raises `PublishRunning`, `ReleaseCorrupt`.
    """
    gone = frozenset(user_ids)
    if not gone or not root.is_dir():
        return {}
    withheld = frozenset(withheld_creators)
    with publishing(root):
        holding = [manifest for manifest in _proven(root) if _holds(root / manifest.version, gone)]
        return {manifest.version: _revise(root, manifest, gone, withheld) for manifest in holding}


def _proven(root: Path) -> list[Manifest]:
    """Every whole release. A broken one could hide a user: it is removed, unless it is current; that is for people."""
    proven = []
    for folder in sorted(root.glob("[!.]*/")):
        try:
            proven.append(verify_folder(folder))
        except ReleaseCorrupt:
            if folder.name == current_or_none(root):
                raise
            discard(root, folder.name)
    return proven


def _holds(folder: Path, gone: frozenset[str]) -> bool:
    named = pq.read_table(folder / CATALOGUE_FILE, columns=[c.CREATOR_ID])[c.CREATOR_ID]
    as_creators = pc.any(pc.is_in(named, pa.array(sorted(gone), pa.string()))).as_py()
    return bool(as_creators or marked(read_ids(folder / "users.parquet", c.USER_ID), gone).any())


def _revise(root: Path, manifest: Manifest, gone: frozenset[str], withheld: frozenset[str]) -> str:
    original = root / manifest.version
    revision = root / f"{STAGING}{uuid4().hex}"
    shutil.copytree(original, revision, ignore=shutil.ignore_patterns(MANIFEST, CATALOGUE_FILE, *USER_FILES))
    users: Users = read_arrays(Users, original, "users", tower=manifest.versions.tower)
    kept = without_users(users, marked(users.ids, gone))
    write_arrays(kept, revision, "users", tower=manifest.versions.tower)
    catalogue = pq.read_table(original / CATALOGUE_FILE)
    unnamed = without_creators(removed_since_ever(catalogue, gone & withheld), gone)
    pq.write_table(unnamed, revision / CATALOGUE_FILE, compression="zstd")
    version = write_manifest(revision, manifest.model_copy(update={"users": len(kept.ids)})).version
    install(revision, root)
    if current_or_none(root) == manifest.version:
        point(root, version)
    remove(revision)
    discard(root, manifest.version)
    return version


def removed_since_ever(catalogue: pa.Table, creators: frozenset[str]) -> pa.Table:
    """The catalogue with the items of these creators removed long ago."""
    theirs = pc.is_in(catalogue[c.CREATOR_ID], pa.array(sorted(creators), pa.string()))
    at = catalogue.schema.get_field_index(c.REMOVED_AT)
    long_ago = pa.scalar(0, pa.int64()).cast(catalogue.schema.field(at).type)
    return catalogue.set_column(at, c.REMOVED_AT, pc.if_else(theirs, long_ago, catalogue[c.REMOVED_AT]))


def without_creators(catalogue: pa.Table, gone: frozenset[str]) -> pa.Table:
    """The catalogue with these creators no longer named."""
    creators = catalogue[c.CREATOR_ID]
    unnamed = pc.if_else(pc.is_in(creators, pa.array(sorted(gone), pa.string())), None, creators)
    return catalogue.set_column(catalogue.schema.get_field_index(c.CREATOR_ID), c.CREATOR_ID, unnamed)
