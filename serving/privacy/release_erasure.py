"""Erasure from releases: a revision of each release without the erased users replaces the original."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts import columns as c
from contracts.atomic_files import naming, remove
from contracts.errors import ReleaseCorrupt
from ranking.feature_arrays import Users, marked
from serving.releases.array_files import (
    IMPRESSIONS,
    read_arrays,
    read_ids,
    read_impressions,
    without_users,
    write_arrays,
    write_impressions,
)
from serving.releases.manifest import MANIFEST, Manifest, verify_folder, write_manifest
from serving.releases.publish import STAGING, current_or_none, discard, install, point, publishing
from serving.releases.revised_names import record_revision

CATALOGUE_FILE = "catalogue.parquet"
USER_FILES = ("users.safetensors", "users.parquet", IMPRESSIONS)
OnRevision = Callable[[str, str], None]
"""Called with the old and the new version, while both exist."""


def erase_users(
    root: Path,
    user_ids: Iterable[str],
    excluded_creators: Iterable[str] = (),
    on_revision: OnRevision = lambda _old, _new: None,
) -> dict[str, str]:
    """Remove users from every release: id, vector, features and history, and their name where they created an item.
    Returns old version to new.

    An item loses its creator's name. Where that creator is among `excluded_creators`, the item counts as removed,
    because the creator's opt-out could no longer be matched to it.

    Each revision is published like any release; the pointer follows if the original was current. `on_revision` moves
    other references before the original is removed. After a kill in the middle, the next call completes the erasure.
    Raises `PublishRunning`, `ReleaseCorrupt`.
    """
    erased = frozenset(user_ids)
    if not erased or not root.is_dir():
        return {}
    excluded = frozenset(excluded_creators)
    with publishing(root):
        affected = [manifest for manifest in _verified(root) if _contains(root / manifest.version, erased)]
        return {
            manifest.version: _replaced(root, manifest.version, _revise(root, manifest, erased, excluded), on_revision)
            for manifest in affected
        }


def _replaced(root: Path, original: str, revision: str, on_revision: OnRevision) -> str:
    if current_or_none(root) == original:
        point(root, revision)
    record_revision(root, original, revision)
    on_revision(original, revision)
    discard(root, original)
    return revision


def _verified(root: Path) -> list[Manifest]:
    """Every whole release. A corrupt release could contain a user: it is deleted, unless it is current. The current one
    needs an operator's decision."""
    verified = []
    for folder in sorted(root.glob("[!.]*/")):
        try:
            verified.append(verify_folder(folder))
        except ReleaseCorrupt:
            if folder.name == current_or_none(root):
                raise
            discard(root, folder.name)
    return verified


def _contains(folder: Path, erased: frozenset[str]) -> bool:
    creators = pq.read_table(folder / CATALOGUE_FILE, columns=[c.CREATOR_ID])[c.CREATOR_ID]
    as_creators = pc.any(pc.is_in(creators, pa.array(sorted(erased), pa.string()))).as_py()
    return bool(as_creators or marked(read_ids(folder / "users.parquet", c.USER_ID), erased).any())


def _revise(root: Path, manifest: Manifest, erased: frozenset[str], excluded: frozenset[str]) -> str:
    original = root / manifest.version
    revision = root / f"{STAGING}{uuid4().hex}"
    shutil.copytree(original, revision, ignore=shutil.ignore_patterns(MANIFEST, CATALOGUE_FILE, *USER_FILES))
    users: Users = read_arrays(Users, original, "users", tower=manifest.versions.tower)
    tower, excluded_users = manifest.versions.tower, marked(users.ids, erased)
    kept = without_users(users, excluded_users)
    with naming(revision):
        write_arrays(kept, revision, "users", tower=tower)
        if impressions := read_impressions(original, tower=tower, users=len(users.ids)):
            write_impressions(impressions.select(np.flatnonzero(~excluded_users)), revision, tower=tower)
        catalogue = pq.read_table(original / CATALOGUE_FILE)
        anonymous = without_creators(with_items_removed(catalogue, erased & excluded), erased)
        pq.write_table(anonymous, revision / CATALOGUE_FILE, compression="zstd")
    version = write_manifest(revision, manifest.model_copy(update={"users": len(kept.ids)})).version
    install(revision, root)
    remove(revision)
    return version


def with_items_removed(catalogue: pa.Table, creators: frozenset[str]) -> pa.Table:
    """The catalogue, with the items of these creators removed since 1970."""
    theirs = pc.is_in(catalogue[c.CREATOR_ID], pa.array(sorted(creators), pa.string()))
    at = catalogue.schema.get_field_index(c.REMOVED_AT)
    epoch = pa.scalar(0, pa.int64()).cast(catalogue.schema.field(at).type)
    return catalogue.set_column(at, c.REMOVED_AT, pc.if_else(theirs, epoch, catalogue[c.REMOVED_AT]))


def without_creators(catalogue: pa.Table, erased: frozenset[str]) -> pa.Table:
    """The catalogue without the names of these creators."""
    creators = catalogue[c.CREATOR_ID]
    anonymous = pc.if_else(pc.is_in(creators, pa.array(sorted(erased), pa.string())), None, creators)
    return catalogue.set_column(catalogue.schema.get_field_index(c.CREATOR_ID), c.CREATOR_ID, anonymous)
