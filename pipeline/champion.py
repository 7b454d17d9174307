"""The release that serves, held to tonight's question by models that have not seen the answer.

A release of yesterday has learned from six of tonight's seven held-out days: it would win by memory. So every release
leaves in the table `champion` the models of each instant that its night ranked at: the end, which serves, and the
measured cut before it, the same recipe a week younger. The latest of them that saw nothing after tonight's cut answers.
"""

import hashlib
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.errors import ChampionAbsent, MissingPartition, ReleaseCorrupt, ReleaseMissing
from pipeline.offline_inference import ModelBundle
from pipeline.run_context import RunContext
from pipeline.stages.reranker import file_name
from pipeline.stages.two_tower import folder_name, load_tower
from ranking.rank_users import RankingConfig
from ranking.reranker import Reranker
from serving.ann_index import IndexConfig
from serving.releases.manifest import Manifest
from serving.releases.publish import show

TABLE, KEPT, RANKER = "champion", "kept.json", "ranker.txt"


class Kept(BaseModel):
    """`kept.json`: which release the models are of, and what else decides its lists."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tower: str
    ranker: str
    cuts: tuple[datetime, ...]
    ranking: RankingConfig
    index: IndexConfig


@dataclass(frozen=True)
class Champion:
    """The serving release's own models as of a cut."""

    version: str
    cut: datetime
    models: ModelBundle


def keep_models(night: RunContext, towers: Path, rerankers: Path, tower: str) -> None:
    """Leave the models of the release that is about to be published; `tower` names its towers."""
    ranker = _sha256(rerankers / file_name(night.splits.end))
    cuts = night.splits.ranking_cutoffs
    kept = Kept(tower=tower, ranker=ranker, cuts=cuts, ranking=night.config.ranking, index=night.config.index)
    with night.lake.new_folder(TABLE, night.splits.as_of) as folder:
        for cut in cuts:
            shutil.copytree(towers / folder_name(cut), folder / folder_name(cut))
            shutil.copyfile(rerankers / file_name(cut), folder / file_name(cut))
        (folder / KEPT).write_text(kept.model_dump_json(indent=1))


def read_champion(night: RunContext, cut: datetime) -> Champion:
    """The models of the serving release, of an earlier day, as they were at `cut` or before.

    Raises `ChampionAbsent` with the reason.
    """
    try:
        manifest = show(night.releases)
        if not manifest.profiled:
            raise ChampionAbsent("the release that serves is not profiled")
        if manifest.as_of >= night.splits.end:  # so that the second run of a day changes nothing
            raise ChampionAbsent("the release that serves is of this night, or of a later one")
        with night.home.open_folder(TABLE, manifest.as_of.date()) as folder:
            return _read(folder, manifest, cut)
    except ReleaseMissing:
        raise ChampionAbsent("no release serves yet") from None
    except MissingPartition:
        raise ChampionAbsent("the serving release left no models in this lake") from None
    except (ReleaseCorrupt, ValidationError, OSError) as wrong:
        why = str(wrong).splitlines()[0]
        raise ChampionAbsent(f"this code cannot read the serving release's models ({why})") from None


def _read(folder: Path, manifest: Manifest, cut: datetime) -> Champion:
    kept = Kept.model_validate_json((folder / KEPT).read_bytes())
    if (kept.tower, kept.ranker) != (manifest.versions.tower, manifest.files[RANKER].sha256):
        raise ChampionAbsent(f"a later night of the same day has replaced the models of {manifest.version}")
    honest = [known for known in kept.cuts if known <= cut]
    if not honest:
        raise ChampionAbsent(f"{manifest.version} has learned from days that this night holds out")
    latest = max(honest)
    tower, reranker = load_tower(folder, latest), Reranker.load(folder / file_name(latest))
    return Champion(manifest.version, latest, ModelBundle(tower, reranker, kept.ranking, kept.index))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
