"""The champion: the release that serves, measured on tonight's held-out days by models that were not trained on them.

A release of yesterday was trained on six of tonight's seven held-out days, so its own lists would be too good.
Therefore every night stores, in the table `champion`, the models of each cutoff that it ranked at: the end of the data,
which serves, and the evaluation cutoff one week before it, with the same settings. The latest of them that saw no event
after tonight's cutoff is measured.
"""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.atomic_files import sha256_of_files
from contracts.errors import ChampionAbsent, MissingPartition, ReleaseCorrupt, ReleaseMissing
from pipeline.evaluation_lists import ModelBundle
from pipeline.run_context import RunContext
from pipeline.stages.reranker import file_name
from pipeline.stages.two_tower import folder_name, load_tower
from ranking.rank_users import RankingConfig
from ranking.reranker import Reranker
from serving.index_config import IndexConfig
from serving.releases.manifest import Manifest
from serving.releases.precedence import KIND
from serving.releases.publish import show

TABLE, DESCRIPTION, RANKER = "champion", "kept.json", "ranker.txt"


class StoredModels(BaseModel):
    """`kept.json`: the release that the models belong to, and the settings that decide its lists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tower: str
    ranker: str
    cuts: tuple[datetime, ...]
    """The cutoffs that there are models of."""
    ranking: RankingConfig
    index: IndexConfig


@dataclass(frozen=True)
class Champion:
    """The serving release's own models as of a cutoff."""

    version: str
    cutoff: datetime
    models: ModelBundle


def store_models(night: RunContext, towers: Path, rerankers: Path, tower: str) -> None:
    """Store the models of the release that is about to be published; `tower` is the checksum of its two-tower."""
    ranker = sha256_of_files(rerankers / file_name(night.splits.end))
    cutoffs, config = night.splits.ranking_cutoffs, night.config
    stored = StoredModels(tower=tower, ranker=ranker, cuts=cutoffs, ranking=config.ranking, index=config.index)
    with night.lake.new_folder(TABLE, night.splits.as_of) as folder:
        for cutoff in cutoffs:
            shutil.copytree(towers / folder_name(cutoff), folder / folder_name(cutoff))
            shutil.copyfile(rerankers / file_name(cutoff), folder / file_name(cutoff))
        (folder / DESCRIPTION).write_text(stored.model_dump_json(indent=1))


def read_champion(night: RunContext, cutoff: datetime) -> Champion:
    """The models of the serving release, if it is of an earlier day, as of `cutoff` or before.

    Raises `ChampionAbsent` with the reason.
    """
    try:
        manifest = _earlier_release(night)
        with night.home.open_folder(TABLE, manifest.as_of.date()) as folder:
            return _read(folder, manifest, cutoff)
    except ReleaseMissing:
        raise ChampionAbsent("no release serves yet") from None
    except MissingPartition:
        raise ChampionAbsent("the serving release left no models in this lake") from None
    except (ReleaseCorrupt, ValidationError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ChampionAbsent(f"this code cannot read the serving release's models ({reason})") from None


def _earlier_release(night: RunContext) -> Manifest:
    manifest = show(night.releases)
    if manifest.reduced_to:
        raise ChampionAbsent(f"the release that serves has only {KIND[manifest.reduced_to]}")
    if manifest.as_of >= night.splits.end:  # so that the second run of a day changes nothing
        raise ChampionAbsent("the release that serves is of this night, or of a later one")
    return manifest


def _read(folder: Path, manifest: Manifest, cutoff: datetime) -> Champion:
    stored = StoredModels.model_validate_json((folder / DESCRIPTION).read_bytes())
    if (stored.tower, stored.ranker) != (manifest.versions.tower, manifest.files[RANKER].sha256):
        raise ChampionAbsent(f"a later night of the same day has replaced the models of {manifest.version}")
    usable = [each for each in stored.cuts if each <= cutoff]
    if not usable:
        raise ChampionAbsent(f"{manifest.version} has learned from days that this night holds out")
    latest = max(usable)
    tower, reranker = load_tower(folder, latest), Reranker.load(folder / file_name(latest))
    return Champion(manifest.version, latest, ModelBundle(tower, reranker, stored.ranking, stored.index))
