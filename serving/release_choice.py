"""Which release answers a request, and with what changes: the pin of an operator, then the arm of the user."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from contracts.switches import Switches
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

    def release_of(self, arm: Arm, current: Release) -> Release | None:
        """The release that answers the users of an arm; none where it could not be loaded."""
        return current if arm.release in (None, current.version) else self.releases.get(arm.release or "")

    def answers(
        self, user_ids: Iterable[str], current: Release, switches: Switches
    ) -> Iterator[tuple[Arm, Release, list[str]]]:
        """The arms of these users, each with the release that answers and its users. An arm that is left out is not
        among them, nor is a user that the release of any arm lacks: the arms compare the same population. While a
        release is pinned, there is no arm: only some arms could go on, and their users would no longer compare."""
        if switches.pinned_release:
            return
        of_arms = {arm.name: self.release_of(arm, current) for arm in self.experiment.arms}
        answering = {release.version: release for release in of_arms.values() if release is not None}.values()
        known = (user for user in user_ids if all(user in release.user_row for release in answering))
        for arm, users in self.experiment.users_of_arms(known):
            if release := of_arms[arm.name]:
                yield arm, release, users


@dataclass(frozen=True)
class Choice:
    """What a request is answered with."""

    release: Release
    context: UserContext
    arm: Arm | None = None
    changes: RankingChanges = field(default_factory=RankingChanges)


@dataclass(frozen=True)
class ManyChoices:
    """What each user of one request is answered with."""

    release: Release
    """That of users without an arm."""
    of_users: Mapping[str, Choice]


@dataclass(frozen=True)
class ReleaseChooser:
    """Chooses for single feeds, and for the feeds of many users.

    Where a release was pinned since the last request, the users are looked up again there. Only a user with a
    personalized feed has an arm, and only one that no release of an arm lacks. A release that could not be loaded
    leaves its arm out, and a pinned release every arm.
    """

    loader: ReloadingRelease
    gate: ConsentGate
    running: RunningExperiment | None = None

    def choose(self, user_id: str | None, *, gpc: bool, shown_by: datetime, fixed: Release | None = None) -> Choice:
        """The release and what may be read of the user. A `fixed` release answers without an experiment."""
        release = fixed or self.loader.get()
        context = self.gate.user_context(release, user_id, gpc=gpc, shown_by=shown_by)
        switches = context.opt_outs.switches
        if fixed is None and (pinned := self.loader.under_pin(switches.pinned_release)) is not release:
            release, context = pinned, self.gate.user_context(pinned, user_id, gpc=gpc, shown_by=shown_by)
        plain = Choice(release, context, changes=RankingChanges(switches.sources_off))
        if fixed or self.running is None or user_id is None or context.user_row is None:
            return plain
        answer = next(self.running.answers([user_id], release, switches), None)
        if answer is None:
            return plain
        arm, other, _ = answer
        if other is not release:
            context = self.gate.user_context(other, user_id, gpc=gpc, shown_by=shown_by)
        return _with_arm(plain, arm, other, context)

    def choose_many(self, user_ids: Iterable[str], *, gpc: bool, shown_by: datetime) -> "ManyChoices":
        """`choose` for each of at least one user, with a few queries for all."""
        users, release = list(dict.fromkeys(user_ids)), self.loader.get()
        contexts = self.gate.user_contexts(release, users, gpc=gpc, shown_by=shown_by)
        switches = contexts[users[0]].opt_outs.switches  # the same for all users
        if (pinned := self.loader.under_pin(switches.pinned_release)) is not release:
            release, contexts = pinned, self.gate.user_contexts(pinned, users, gpc=gpc, shown_by=shown_by)
        changes = RankingChanges(switches.sources_off)
        choices = {user: Choice(release, context, changes=changes) for user, context in contexts.items()}
        with_arm = [user for user, context in contexts.items() if context.user_row is not None]
        for arm, other, some in self.running.answers(with_arm, release, switches) if self.running else ():
            own = contexts
            if other is not release:
                own = self.gate.user_contexts(other, some, gpc=gpc, shown_by=shown_by)
            choices |= {user: _with_arm(choices[user], arm, other, own[user]) for user in some}
        return ManyChoices(release, choices)


def _with_arm(plain: Choice, arm: Arm, release: Release, context: UserContext) -> Choice:
    """The choice with the arm of a user; without it where the user may no longer be profiled by now."""
    if context.user_row is None:
        return replace(plain, context=context)
    sources_off = context.opt_outs.switches.sources_off
    return Choice(release, context, arm, RankingChanges.of(sources_off, arm.slate, arm.candidates))
