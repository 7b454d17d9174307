"""What a feed is asked for, and what feeds of one user and of many are made with."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from ranking.fatigue import DEFAULT_FATIGUE, FatigueConfig
from serving.cursor import CursorSigner
from serving.exploration import NO_EXPLORATION, ExplorationConfig
from serving.privacy.consent import ConsentGate
from serving.release_choice import ReleaseChooser, RunningExperiment
from serving.releases.loaded_release import Release
from serving.releases.release_loader import ReloadingRelease


@dataclass(frozen=True)
class FeedRequest:
    """One page for one user, or for a request without a user."""

    user_id: str | None
    limit: int = 50
    cursor: str | None = None
    languages: frozenset[str] | None = None
    """Those of the non-profiled list; `None` for all."""
    gpc: bool = False
    request_id: str = ""
    release: Release | None = None
    """The release that answers, whatever is pinned, and without an experiment."""
    at: datetime | None = None
    """The list is as of this instant; `None` for now."""
    explore: bool = True
    """Whether places of the page may go to items that were drawn."""


@dataclass(frozen=True)
class FeedParts:
    """The release and the stores, which are read anew at each request, and the settings of feeds."""

    loader: ReloadingRelease
    gate: ConsentGate
    cursors: CursorSigner
    fatigue: FatigueConfig = DEFAULT_FATIGUE
    exploration: ExplorationConfig = NO_EXPLORATION
    experiment: RunningExperiment | None = None

    @cached_property
    def chooser(self) -> ReleaseChooser:
        """Chooses the release that answers."""
        return ReleaseChooser(self.loader, self.gate, self.experiment)
