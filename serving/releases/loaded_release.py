"""A release: everything that one night publishes, in one folder that explains and proves itself.

items.safetensors   items.parquet    ranking.feature_arrays.Items
users.safetensors   users.parquet    ranking.feature_arrays.Users
index.faiss                          over the item vectors
ranker.txt          ranking.json     the re-ranker's own text; how candidates, slate and reasons are made
catalogue.parquet                    what is shown of an item, row for row as in items
popular.parquet     fresh.parquet    item rows, best first
metrics.json        manifest.json

A release that is not profiled, of a first night without models, has no `index.faiss`, `ranker.txt` and `ranking.json`;
its vectors have no size, and it names no user.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts import __version__
from contracts import columns as c
from contracts.errors import ReleaseCorrupt, ReleaseNotProfiled
from contracts.ids import spellings
from contracts.schemas import ITEMS
from ranking.feature_arrays import Items, Rows, Users
from ranking.rank_users import RankingConfig, RankingSnapshot
from ranking.reranker import Reranker
from serving.accept_language import primary
from serving.ann_index import FaissIndex, IndexConfig, build, comparable, load
from serving.cursor import item_hashes
from serving.popularity_fallback import Ranked, everyones
from serving.releases.manifest import Manifest, Versions, verify_folder, write_manifest
from serving.releases.serialization import read_arrays, write_arrays

CATALOGUE = pa.schema([field for field in ITEMS if field.name != c.EMBEDDING])
ITEM_ROW = "item_row"
SECONDS_AN_HOUR = 3600
LONGEST_TAG = 35
"""Characters of a language tag that software is to have room for (RFC 5646, section 4.4.1)."""


@dataclass(frozen=True)
class Contents:
    """What a night hands over to be released."""

    as_of: datetime
    tower: str
    """Names the towers that made the vectors; the ranker ranks their candidates."""
    items: Items
    users: Users
    catalogue: pa.Table
    """Contract ITEMS, one row an item in any order; what `items` lacks is left out."""
    popular: Sequence[int] | Rows
    """Rows of `items`, most popular first."""
    fresh: Sequence[int] | Rows
    """Rows of `items`, newest first."""
    ranker: Path | None
    """What `Reranker.save` wrote; `None` for a release that is not profiled."""
    ranking: RankingConfig
    index: IndexConfig
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class RankingModels:
    """What ranks for one user."""

    index: FaissIndex
    reranker: Reranker
    ranking: RankingConfig


@dataclass(frozen=True)
class Release:
    """A release in memory, verified. `index`, `reranker` and `ranking` raise `ReleaseNotProfiled` where it has none."""

    manifest: Manifest
    items: Items
    users: Users
    models: RankingModels | None
    catalogue: pa.Table
    popular: Rows
    fresh: Rows
    metrics: dict[str, Any]

    @property
    def version(self) -> str:
        """The release's name."""
        return self.manifest.version

    @property
    def profiled(self) -> bool:
        """Whether the release ranks for single users; else it holds the list of everyone alone."""
        return self.models is not None

    @property
    def index(self) -> FaissIndex:
        """Nearest items of a vector."""
        return self._models().index

    @property
    def reranker(self) -> Reranker:
        """Scores of candidates."""
        return self._models().reranker

    @property
    def ranking(self) -> RankingConfig:
        """How candidates, slate and reasons are made."""
        return self._models().ranking

    def _models(self) -> RankingModels:
        if self.models is None:
            raise ReleaseNotProfiled(f"release {self.version} holds no models; run a night that passes its gates")
        return self.models

    @property
    def as_of_hours(self) -> float:
        """The release's instant in hours since 1970."""
        return self.manifest.as_of.timestamp() / SECONDS_AN_HOUR

    @cached_property
    def user_row(self) -> dict[str, int]:
        """Row of each user who has a vector, by either spelling of the id."""
        return _row_of(self.users.ids)

    @cached_property
    def item_row(self) -> dict[str, int]:
        """Row of each item, by either spelling of the id."""
        return _row_of(self.items.ids)

    @cached_property
    def creator_rows(self) -> dict[str, Rows]:
        """Rows of each creator's items."""
        creators = self.catalogue[c.CREATOR_ID].combine_chunks().dictionary_encode()
        codes = creators.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable").astype(np.int32)
        starts = np.searchsorted(codes[order], np.arange(len(creators.dictionary) + 1))
        names = creators.dictionary.to_pylist()
        return {name: order[starts[code] : starts[code + 1]] for code, name in enumerate(names)}

    @cached_property
    def removed_hours(self) -> NDArray[np.float64]:
        """[I] hours since 1970 when an item was or will be removed; infinite where that is not known."""
        micros = self.catalogue[c.REMOVED_AT].cast(pa.int64()).cast(pa.float64())
        hours: NDArray[np.float64] = pc.fill_null(micros, np.inf).to_numpy() / (SECONDS_AN_HOUR * 1e6)
        return hours

    @cached_property
    def languages(self) -> NDArray[np.str_]:
        """[I] primary language of each item, as in `pt`; empty where that is not known.

        What is longer than a language tag can be is none: one long text would make the whole array as wide.
        """
        tags = [primary(language) for language in pc.fill_null(self.catalogue[c.LANGUAGE], "").to_pylist()]
        return np.array([tag if len(tag) <= LONGEST_TAG else "" for tag in tags], dtype=np.str_)

    @cached_property
    def item_hashes(self) -> NDArray[np.uint32]:
        """[I] what a cursor calls each item."""
        return item_hashes(self.items.ids)

    @cached_property
    def everyones(self) -> Ranked:
        """The list that is the same for everyone, before opt-outs."""
        return everyones(self.fresh, self.popular)

    @cached_property
    def ranking_snapshot(self) -> RankingSnapshot:
        """The inputs of `rank_users`, as of the release: a list is the same all day."""
        return RankingSnapshot(self.users, self.items, self.index, self.ranking, self.as_of_hours)

    def warmed(self) -> "Release":
        """Itself, with every lookup made, so that the first request does not pay for them."""
        _ = (self.user_row, self.item_row, self.creator_rows, self.removed_hours, self.languages, self.item_hashes)
        _ = self.everyones
        if self.profiled:
            _ = (self.ranking_snapshot.fresh, self.ranking_snapshot.popular)
        return self


def write_release(contents: Contents, folder: Path) -> Manifest:
    """Fill a new folder with the release's files. Equal contents give an equal version."""
    folder.mkdir(parents=True)
    write_arrays(contents.items, folder, "items", tower=contents.tower)
    write_arrays(contents.users, folder, "users", tower=contents.tower)
    if contents.ranker is not None:
        build(contents.items.vectors, contents.items.ids, contents.index).save(folder / "index.faiss")
        shutil.copyfile(contents.ranker, folder / "ranker.txt")
        (folder / "ranking.json").write_text(contents.ranking.model_dump_json(indent=1) + "\n")
    pq.write_table(_catalogue(contents), folder / "catalogue.parquet", compression="zstd")
    for name, rows in (("popular", contents.popular), ("fresh", contents.fresh)):
        pq.write_table(_ordered(contents.items, rows), folder / f"{name}.parquet", compression="zstd")
    (folder / "metrics.json").write_text(json.dumps(contents.metrics, indent=1, default=str) + "\n")
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
            profiled=contents.ranker is not None,
        ),
    )


def load_release(folder: Path) -> Release:
    """Verify a folder and read it. Raises `ReleaseMissing`, `ReleaseCorrupt`."""
    manifest = verify_folder(folder)
    tower = manifest.versions.tower
    items: Items = read_arrays(Items, folder, "items", tower=tower)
    release = Release(
        manifest=manifest,
        items=items,
        users=read_arrays(Users, folder, "users", tower=tower),
        models=_read_models(folder, manifest, items) if manifest.profiled else None,
        catalogue=pq.read_table(folder / "catalogue.parquet"),
        popular=_rows(folder / "popular.parquet"),
        fresh=_rows(folder / "fresh.parquet"),
        metrics=json.loads((folder / "metrics.json").read_bytes()),
    )
    _belongs_together(folder, release)
    return release.warmed()


def _read_models(folder: Path, manifest: Manifest, items: Items) -> RankingModels:
    return RankingModels(
        index=load(folder / "index.faiss", items.ids, manifest.index),
        reranker=Reranker.load(folder / "ranker.txt"),
        ranking=RankingConfig.model_validate_json((folder / "ranking.json").read_bytes()),
    )


def _belongs_together(folder: Path, release: Release) -> None:
    """The hashes prove each file; this proves that they are of one build."""
    items = release.items
    if release.catalogue[c.ITEM_ID].to_pylist() != items.ids.tolist():
        raise ReleaseCorrupt(f"{folder}: catalogue.parquet and items.parquet name different items; publish again")
    if release.models is not None:
        _same_vectors(folder, release.models.index, items)
    if items.vectors.shape[1] != release.users.vectors.shape[1]:
        raise ReleaseCorrupt(f"{folder}: user and item vectors differ in size; publish again")


def _same_vectors(folder: Path, index: FaissIndex, items: Items) -> None:
    sample = min(len(items.ids), 100)
    if not np.allclose(index.vectors(0, sample), comparable(items.vectors[:sample], index.metric), atol=1e-5):
        raise ReleaseCorrupt(f"{folder}: index.faiss holds other vectors than items.safetensors; publish again")


def _row_of(ids: Iterable[str]) -> dict[str, int]:
    rows = {str(id_): row for row, id_ in enumerate(ids)}
    for id_, row in list(rows.items()):
        if id_.endswith(".0"):  # requests are read to the spelling without it
            rows.setdefault(spellings(id_)[-1], row)
    return rows


def _catalogue(contents: Contents) -> pa.Table:
    shown = contents.catalogue.select(CATALOGUE.names).cast(CATALOGUE).combine_chunks()
    # a list column cannot ride through Arrow's join, so rows are looked up and taken
    found = pc.index_in(pa.array(contents.items.ids.tolist(), pa.string()), shown[c.ITEM_ID])
    if found.null_count:
        raise ReleaseCorrupt(f"the catalogue lacks {found.null_count} of the items that have vectors; pass all of it")
    return shown.take(found)


def _ordered(items: Items, rows: Sequence[int] | Rows) -> pa.Table:
    ordered = np.asarray(rows, np.int32)
    return pa.table({ITEM_ROW: ordered, c.ITEM_ID: pa.array(items.ids[ordered].tolist(), pa.string())})


def _rows(path: Path) -> Rows:
    rows: Rows = pq.read_table(path)[ITEM_ROW].to_numpy().astype(np.int32)
    return rows
