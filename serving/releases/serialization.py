"""The files of a release: one folder with everything that a night publishes, written and read here.

items.safetensors   items.parquet    ranking.feature_arrays.Items
users.safetensors   users.parquet    ranking.feature_arrays.Users
index.faiss                          over the item vectors
ranker.txt          ranking.json     the re-ranker's own text; the configuration of candidates, slate and attributions
transitions.safetensors              ranking.cooccurrence_features.Transitions, where the re-ranker reads them
exposure.safetensors                 the share of users with each item on top, where the slate limits common items
impressions.safetensors              ranking.fatigue.UserImpressions, where the night's events have impressions
catalogue.parquet                    the display data of each item, in the row order of items
popular.parquet     fresh.parquet    item rows, best first
metrics.json        manifest.json

Arrays are in safetensors, ids in parquet; nothing is pickled. A release that is reduced to the two-tower has no
`ranker.txt`. One that is not profiled has no `index.faiss` and `ranking.json` either; its vectors have no size, and it
contains no user.
"""

import json
import shutil
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts import __version__
from contracts import columns as c
from contracts.atomic_files import naming, read_regular
from contracts.errors import ReleaseCorrupt
from contracts.schemas import ITEMS
from ranking.cooccurrence_features import Transitions
from ranking.fatigue import UserImpressions
from ranking.feature_arrays import Floats, Ids, Items, Rows, Users
from ranking.rank_users import RankingConfig, Scorer
from ranking.reranker import Reranker
from ranking.retrieval_score import RetrievalScorer
from serving.ann_index import FaissIndex, build, comparable, load
from serving.index_config import IndexConfig
from serving.releases.array_files import (
    read_arrays,
    read_exposure,
    read_id_column,
    read_impressions,
    read_transitions,
    write_arrays,
    write_exposure,
    write_impressions,
    write_transitions,
)
from serving.releases.id_column import IdColumn
from serving.releases.loaded_release import RankingModels, Release
from serving.releases.lookups import Lookups
from serving.releases.manifest import Manifest, ReducedTo, Versions, read_manifest, verify_folder, write_manifest
from serving.releases.mapped_files import mapped_table, write_table
from serving.releases.shared_copies import SharedCopies, SharedCopy
from serving.releases.verified_copy import shared_copy

CATALOGUE = pa.schema([field for field in ITEMS if field.name != c.EMBEDDING])
ITEM_ROW = "item_row"
RANKER = "ranker.txt"
OF_TRAINING = {"reranker": {"impressions", "position", "impression_features", "weight_limit"}}
"""Settings that scores do not depend on. Without them, older servers read the release."""
CATALOGUE_FILE = "catalogue.parquet"
MAPPED_CATALOGUE = "catalogue.arrow"
MAX_CONFIG_BYTES, MAX_METRICS_BYTES = 1 << 20, 1 << 24
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pa.ArrowException,
)
"""What the readers of the files raise for content that they do not expect."""


@dataclass(frozen=True)
class ReleaseContents:
    """Everything that a night passes on to be released."""

    as_of: datetime
    tower: str
    """The name of the towers that computed the vectors; the ranker ranks their candidates."""
    items: Items
    users: Users
    catalogue: pa.Table
    """Contract ITEMS, one row an item in any order; items that are not in `items` are left out."""
    popular: Sequence[int] | Rows
    """Rows of `items`, most popular first."""
    fresh: Sequence[int] | Rows
    """Rows of `items`, newest first."""
    ranker: Path | None
    """The file that `Reranker.save` wrote; `None` for a reduced release."""
    ranking: RankingConfig
    index: IndexConfig
    metrics: Mapping[str, Any]
    encoder: str = ""
    """The encoder of the towers, as the night selected it."""
    transitions: Transitions | None = None
    """The tables of a re-ranker that reads co-occurrence features."""
    exposure: Floats | None = None
    """The share of users with each item among their first ones, [I], where the slate limits common items."""
    impressions: UserImpressions | None = None
    """What users were shown and left alone, where the night's events have impressions."""
    reduced_to: ReducedTo | None = None
    """What a reduced release serves."""
    unmeasured: bool = False
    """Whether no gate compared its lists."""

    @property
    def profiled(self) -> bool:
        """Whether it ranks for single users."""
        return self.reduced_to is not ReducedTo.NON_PROFILED


def write_release(contents: ReleaseContents, folder: Path) -> Manifest:
    """Fill a new folder with the release's files. Equal contents give an equal version."""
    folder.mkdir(parents=True)
    with naming(folder):
        _write_files(contents, folder)
    tower = contents.tower
    return write_manifest(
        folder,
        Manifest(
            as_of=contents.as_of,
            built_at=datetime.now(UTC),
            versions=Versions(tower=tower, index=tower, ranker=tower, code=__version__),
            index=contents.index,
            users=len(contents.users.ids),
            items=len(contents.items.ids),
            encoder=contents.encoder,
            profiled=contents.profiled,
            reduced_to=contents.reduced_to,
            unmeasured=contents.unmeasured,
        ),
    )


def _write_files(contents: ReleaseContents, folder: Path) -> None:
    write_arrays(contents.items, folder, "items", tower=contents.tower)
    write_arrays(contents.users, folder, "users", tower=contents.tower)
    if contents.impressions is not None:
        write_impressions(contents.impressions, folder, tower=contents.tower)
    if contents.profiled:
        _write_models(contents, folder)
    pq.write_table(_display_data(contents), folder / CATALOGUE_FILE, compression="zstd")
    for name, rows in (("popular", contents.popular), ("fresh", contents.fresh)):
        pq.write_table(_row_table(contents.items, rows), folder / f"{name}.parquet", compression="zstd")
    (folder / "metrics.json").write_text(json.dumps(contents.metrics, indent=1, default=str) + "\n")


def _write_models(contents: ReleaseContents, folder: Path) -> None:
    build(contents.items.vectors, contents.items.ids, contents.index).save(folder / "index.faiss")
    if contents.ranker is not None:
        shutil.copyfile(contents.ranker, folder / RANKER)
    if contents.transitions is not None:
        write_transitions(contents.transitions, folder, tower=contents.tower)
    if contents.exposure is not None:
        write_exposure(contents.exposure, folder, tower=contents.tower)
    (folder / "ranking.json").write_text(contents.ranking.model_dump_json(indent=1, exclude=OF_TRAINING) + "\n")


def load_release(folder: Path, copies: SharedCopies | None = None) -> Release:
    """Verify a folder and read it; with `copies`, map a copy of it that processes share. Raises `ReleaseMissing`,
    `ReleaseCorrupt`."""
    if copies is not None and (copy := shared_copy(folder, copies)) is not None:
        return _mapped(folder, copy)
    manifest = verify_folder(folder)
    try:
        return _read(folder, manifest)
    except UNREADABLE as error:
        raise _corrupt(folder, error) from error


def _corrupt(folder: Path, error: BaseException) -> ReleaseCorrupt:
    """Its files fit their manifest, but no night wrote them."""
    return ReleaseCorrupt(f"{folder}: cannot be read ({type(error).__name__}); publish again or roll back")


def derive(copy: Path, folder: Path) -> None:
    """Add to the copy of a folder what its readers would compute. Raises `ReleaseCorrupt`, and `OSError` where the disk
    of the copy is full."""
    try:
        catalogue = pq.read_table(copy / CATALOGUE_FILE)
        lookups = _computed_lookups(copy, catalogue)
    except UNREADABLE as error:
        raise _corrupt(folder, error) from error
    write_table(catalogue, copy / MAPPED_CATALOGUE)
    lookups.write(copy)
    del catalogue, lookups
    pa.default_memory_pool().release_unused()  # otherwise the process that filled the copy keeps as much for itself


def _computed_lookups(folder: Path, catalogue: pa.Table) -> Lookups:
    if not catalogue[c.ITEM_ID].equals(read_id_column(folder / "items.parquet", c.ITEM_ID)):
        raise ReleaseCorrupt(f"{folder}: catalogue.parquet and items.parquet name different items; publish again")
    user_ids = IdColumn(read_id_column(folder / "users.parquet", c.USER_ID))
    popular, fresh = (_read_rows(folder / f"{name}.parquet") for name in ("popular", "fresh"))
    return Lookups.of(user_ids, catalogue, popular, fresh)


def _mapped(folder: Path, copy: SharedCopy) -> Release:
    try:
        release = _read(copy.folder, read_manifest(copy.folder), copy)
    except BaseException as error:
        copy.release()
        if isinstance(error, UNREADABLE):
            raise _corrupt(folder, error) from error
        raise
    weakref.finalize(release, copy.release)
    return release


def _read(folder: Path, manifest: Manifest, copy: SharedCopy | None = None) -> Release:
    tower, mapped = manifest.versions.tower, copy is not None
    catalogue = mapped_table(folder / MAPPED_CATALOGUE) if mapped else pq.read_table(folder / CATALOGUE_FILE)
    lookups = Lookups.mapped(folder, catalogue) if mapped else _computed_lookups(folder, catalogue)
    # a column answers what is asked of an array of ids
    item_ids, user_ids = cast(Ids, lookups.item_ids), cast(Ids, lookups.user_ids)
    items: Items = read_arrays(Items, folder, "items", tower=tower, ids=item_ids, mapped=mapped)
    release = Release(
        manifest=manifest,
        items=items,
        users=read_arrays(Users, folder, "users", tower=tower, ids=user_ids, mapped=mapped),
        models=_read_models(folder, manifest, items, mapped=mapped) if manifest.profiled else None,
        catalogue=catalogue,
        lookups=lookups,
        metrics=json.loads(read_regular(folder / "metrics.json", max_bytes=MAX_METRICS_BYTES)),
        impressions=read_impressions(folder, tower=tower, users=manifest.users, mapped=mapped),
        copy=copy,
    )
    _check_consistency(folder, release)
    return release.warmed()


def _read_models(folder: Path, manifest: Manifest, items: Items, *, mapped: bool) -> RankingModels:
    alone, tower, count = manifest.reduced_to is ReducedTo.TWO_TOWER, manifest.versions.tower, len(items.ids)
    reranker = RetrievalScorer() if alone else Reranker.load(folder / RANKER)
    tables = reranker.uses_cooccurrence
    return RankingModels(
        index=load(folder / "index.faiss", items.ids, manifest.index, mapped=mapped),
        reranker=reranker,
        ranking=RankingConfig.model_validate_json(read_regular(folder / "ranking.json", max_bytes=MAX_CONFIG_BYTES)),
        transitions=read_transitions(folder, tower=tower, items=count, mapped=mapped) if tables else None,
        exposure=read_exposure(folder, tower=tower, items=count, mapped=mapped),
    )


def _check_consistency(folder: Path, release: Release) -> None:
    """The hashes verify each file; this verifies that the files are of one build."""
    items = release.items
    if release.models is not None:
        _check_vectors(folder, release.models.index, items)
        _check_impressions(folder, release, release.models.reranker)
    if items.vectors.shape[1] != release.users.vectors.shape[1]:
        raise ReleaseCorrupt(f"{folder}: user and item vectors differ in size; publish again")


def _check_impressions(folder: Path, release: Release, reranker: Scorer) -> None:
    impressions = release.impressions
    if impressions is None and reranker.uses_impressions:
        raise ReleaseCorrupt(f"{folder}: the re-ranker reads impressions, but there is no such file; publish again")
    rates = None if impressions is None else impressions.click_rates
    if rates is not None and len(rates) != len(release.items.ids):
        raise ReleaseCorrupt(f"{folder}: impressions.safetensors is of {len(rates)} items; publish again")


def _check_vectors(folder: Path, index: FaissIndex, items: Items) -> None:
    sample = min(len(items.ids), 100)
    if not np.allclose(index.vectors(0, sample), comparable(items.vectors[:sample], index.metric), atol=1e-5):
        raise ReleaseCorrupt(f"{folder}: index.faiss holds other vectors than items.safetensors; publish again")


def _display_data(contents: ReleaseContents) -> pa.Table:
    catalogue = contents.catalogue.select(CATALOGUE.names).cast(CATALOGUE).combine_chunks()
    # Arrow's join does not support list columns, so rows are looked up and taken
    rows = pc.index_in(pa.array(contents.items.ids.tolist(), pa.string()), catalogue[c.ITEM_ID])
    if rows.null_count:
        raise ReleaseCorrupt(f"the catalogue lacks {rows.null_count} of the items that have vectors; pass all of it")
    return catalogue.take(rows)


def _row_table(items: Items, rows: Sequence[int] | Rows) -> pa.Table:
    ordered = np.asarray(rows, np.int32)
    return pa.table({ITEM_ROW: ordered, c.ITEM_ID: pa.array(items.ids[ordered].tolist(), pa.string())})


def _read_rows(path: Path) -> Rows:
    rows: Rows = pq.read_table(path, columns=[ITEM_ROW])[ITEM_ROW].to_numpy().astype(np.int32)
    return rows
