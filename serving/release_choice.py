"""Which release answers a request, and with what changes: the pin of an operator, then the arm of the user."""

from dataclasses import dataclass, field
from datetime import datetime

from serving.ab_experiment import AbExperiment, Arm
from serving.privacy.consent import ConsentGate, UserContext
from serving.releases.extra_releases import ExtraReleases
from serving.releases.loaded_release import Release
from serving.releases.ranking_changes import RankingChanges
from serving.releases.release_loader import ReloadingRelease


@dataclass(frozen=True)
class RunningExperiment:
    """An experiment with the releases of its arms."""

    experiment: AbExperiment
    releases: ExtraReleases


@dataclass(frozen=True)
class Choice:
    """What a request is answered with."""

    release: Release
    context: UserContext
    arm: Arm | None = None
    changes: RankingChanges = field(default_factory=RankingChanges)


@dataclass(frozen=True)
class ReleaseChooser:
    """Chooses for single feeds."""

    loader: ReloadingRelease
    gate: ConsentGate
    running: RunningExperiment | None = None

    def choose(self, user_id: str | None, *, gpc: bool, shown_by: datetime, fixed: Release | None = None) -> Choice:
        """The release and what may be read of the user. A `fixed` release answers without an experiment.

        Where a release was pinned since the last request, the user is looked up again there. Only a user with a
        personalized feed has an arm. A pinned release, and a release that could not be loaded, leave its arm out.
        """
        release = fixed or self.loader.get()
        context = self.gate.user_context(release, user_id, gpc=gpc, shown_by=shown_by)
        switches = context.opt_outs.switches
        if fixed is None and (pinned := self.loader.under_pin(switches.pinned_release)) is not release:
            release, context = pinned, self.gate.user_context(pinned, user_id, gpc=gpc, shown_by=shown_by)
        plain = Choice(release, context, changes=RankingChanges(switches.sources_off))
        if fixed or self.running is None or user_id is None or context.user_row is None:
            return plain
        arm = self.running.experiment.arm_of(user_id)
        if arm.release not in (None, release.version):
            other = self.running.releases.get(arm.release or "")
            if other is None or switches.pinned_release is not None:
                return plain
            release, context = other, self.gate.user_context(other, user_id, gpc=gpc, shown_by=shown_by)
        return Choice(release, context, arm, RankingChanges.of(switches.sources_off, arm.slate, arm.candidates))
