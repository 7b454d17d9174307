"""A synthetic release: drawn tables, a re-ranker that is trained on them, and files published as a night publishes.

It is built once: a folder with a finished release of the same size, seed and code is used again.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.synthetic_tables import AS_OF, HOURS, Size, SyntheticTables, synthetic_tables
from contracts import Settings, __version__
from contracts import columns as c
from contracts.errors import ReleaseCorrupt, ReleaseMissing
from ranking.candidates import CandidateConfig, fresh_rows, popular_rows
from ranking.feature_arrays import Floats, Rows, ids_of
from ranking.feature_names import FEATURE_NAMES
from ranking.item_exposure import with_exposure
from ranking.rank_users import RankingConfig, RankingSnapshot
from ranking.reason_calibration import ReasonConfig
from ranking.reranker import Reranker, RerankerConfig, train
from ranking.training_pairs import LabelledPairs
from serving.ann_index import FaissIndex, build
from serving.index_config import IndexConfig
from serving.privacy.opt_out_store import OptOutStore
from serving.releases.manifest import FORMAT
from serving.releases.publish import publish, show
from serving.releases.serialization import ReleaseContents, write_release

SEED = 7
TRAINING_USERS = 120
CANDIDATES = CandidateConfig(neighbours=200)
"""So that a user has about 500 candidates: synthetic sources overlap less than those of a real site."""
POPULAR_DAYS = 7
MIN_SIMILARITY = 0.5
CLICKS, SAVES = 0.03, 0.01
"""Shares of a user's candidates that get the label of a click, and of a save."""
LIKED = ("retrieval_score", "creator_share", "item_save_rate_7d")
"""Features that the labels of training depend on, beside chance."""


def synthetic_lake(size: Size, out: Path) -> Settings:
    """The settings of a lake under `out` whose current release has this size; it is built if it is not there."""
    settings = Settings(lake=str(out / f"synthetic-{size.items}-{size.users}"))
    if not _is_built(settings.release_root):
        shutil.rmtree(settings.lake, ignore_errors=True)
        with TemporaryDirectory(dir=out) as folder:
            write_synthetic(size, Path(folder) / "release")
            publish(Path(folder) / "release", settings.release_root)
    OptOutStore.of(settings).create()
    return settings


def _is_built(root: Path) -> bool:
    try:
        manifest = show(root)
    except (ReleaseMissing, ReleaseCorrupt):
        return False
    return (manifest.format, manifest.versions.code) == (FORMAT, __version__)


def write_synthetic(size: Size, folder: Path, *, seed: int = SEED, config: RerankerConfig | None = None) -> None:
    """Fill a new folder with a release's files. `config` replaces the night's defaults of the re-ranker."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as scratch:
        write_release(contents(synthetic_tables(size, seed), Path(scratch), seed, config or RerankerConfig()), folder)


def contents(tables: SyntheticTables, scratch: Path, seed: int, config: RerankerConfig) -> ReleaseContents:
    """What a night would pass on to be released."""
    items, users = tables.items, tables.users
    snapshot = RankingSnapshot(
        users, items, _exact_index(tables), RankingConfig(candidates=CANDIDATES, reranker=config), HOURS
    )
    reranker = trained(snapshot, seed)
    reranker.save(scratch / "ranker.txt")
    rows = np.arange(len(users.ids), dtype=np.int32)
    return ReleaseContents(
        as_of=AS_OF,
        tower=f"synthetic-{seed}",
        items=items,
        users=users,
        catalogue=tables.catalogue,
        popular=popular_rows(items, len(items.ids), POPULAR_DAYS),
        fresh=fresh_rows(items, len(items.ids)),
        ranker=scratch / "ranker.txt",
        ranking=snapshot.config.model_copy(update={"reasons": ReasonConfig(min_similarity=MIN_SIMILARITY)}),
        index=IndexConfig(),
        metrics={},
        exposure=with_exposure(snapshot, reranker, rows).exposure,
        unmeasured=True,
    )


def _exact_index(tables: SyntheticTables) -> FaissIndex:
    """For training. The release has the index that a night chooses for its size."""
    items = tables.items
    return build(items.vectors, items.ids, IndexConfig(flat_up_to=len(items.ids)))


def trained(snapshot: RankingSnapshot, seed: int) -> Reranker:
    """A re-ranker with the night's settings, trained on the candidates of some users and drawn labels."""
    random = np.random.default_rng(seed)
    user_rows = np.arange(min(TRAINING_USERS, len(snapshot.users.ids)), dtype=np.int32)
    candidates = snapshot.candidates(user_rows)
    features = snapshot.features(candidates)
    pairs = LabelledPairs(features, _labels(features, candidates.user_rows, random), candidates.user_rows)
    return train([pairs], snapshot.config.reranker).reranker


def _labels(features: Floats, user_rows: Rows, random: np.random.Generator) -> NDArray[np.int32]:
    """[P] the best pairs of each user get a label; what is best depends on some features and on chance."""
    liking = sum(_scaled(features[:, FEATURE_NAMES.index(name)]) for name in LIKED) + random.normal(size=len(features))
    order = np.lexsort((-liking, user_rows))
    starts = np.flatnonzero(np.diff(user_rows[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    share = np.empty(len(order))
    share[order] = (np.arange(len(order)) - np.repeat(starts, counts)) / np.repeat(counts, counts)
    return (share < SAVES).astype(np.int32) + (share < CLICKS)


def _scaled(values: Floats) -> Floats:
    known = np.nan_to_num(values)
    return np.asarray((known - known.mean()) / max(float(known.std()), 1e-6), np.float32)


def renamed(release: ReleaseContents, prefix: str) -> ReleaseContents:
    """The same release with other item ids, so that every item shows which release it comes from."""
    ids = [f"{prefix}{item}" for item in release.items.ids]
    place = release.catalogue.column_names.index(c.ITEM_ID)
    catalogue = release.catalogue.set_column(place, release.catalogue.schema.field(place), [ids])
    return replace(release, items=replace(release.items, ids=ids_of(ids)), catalogue=catalogue)
