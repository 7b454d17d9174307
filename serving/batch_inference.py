"""Batch inference: lists for many users from a release, with the same ranking as the feed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts import Flag, OptOutReader, SubjectType
from contracts import columns as c
from contracts.csr import CsrRows
from contracts.opt_out_flags import UNREADABLE
from contracts.switches import Switches, SwitchName
from ranking.fatigue import DEFAULT_FATIGUE, FatigueConfig
from ranking.feature_arrays import Rows
from ranking.rank_users import rank_users
from serving.posted_interactions import left_out, unhidden_items
from serving.privacy.active_opt_outs import ActiveOptOuts
from serving.privacy.consent import excluded_items
from serving.recent_interactions import RecentInteraction, ReleaseTimes
from serving.release_choice import RunningExperiment
from serving.releases.loaded_release import Release
from serving.releases.ranked_list import RankedList
from serving.releases.ranking_changes import RankingChanges
from serving.shown_items import shown_before
from serving.stores.event_store import EventStore

RANK, SCORE, SOURCE = "rank", "score", "source"
LISTS = pa.schema(
    [
        pa.field(c.USER_ID, pa.string()),
        pa.field(c.ITEM_ID, pa.string()),
        pa.field(RANK, pa.int32()),
        pa.field(SCORE, pa.float32()),
        pa.field(SOURCE, pa.string()),
    ]
)
"""`rank` counts from 1; `score` compares within one user's list."""
NO_USER = np.iinfo(np.int32).max
"""The row of no user, after all others."""
USERS_PER_CHUNK = 128
"""Users ranked together: about 20 MB for lists of 450 candidates."""


@dataclass(frozen=True)
class Refusals:
    """The opt-outs and switches at one instant: users without a profile, and what no list has."""

    users: frozenset[str]
    active: ActiveOptOuts

    @classmethod
    def of(cls, opt_outs: OptOutReader) -> "Refusals":
        """The opt-outs now. Raises `OptOutStoreUnavailable`."""
        items = opt_outs.subjects(SubjectType.ITEM, (Flag.RECOMMENDATION,))
        creators = opt_outs.subjects(SubjectType.CREATOR, (Flag.RECOMMENDATION,))
        unreadable = opt_outs.subjects(SubjectType.USER, UNREADABLE)
        return cls(unreadable, ActiveOptOuts(frozenset(), items, creators, opt_outs.switches()))

    @property
    def switches(self) -> Switches:
        """The kill switches."""
        return self.active.switches

    def items(self, release: Release) -> NDArray[np.bool_]:
        """[I] items that no list of this release has."""
        return excluded_items(release, self.active, datetime.now(UTC))

    def forbids_profile(self, user_id: str) -> bool:
        """Whether the user gets the non-profiled list."""
        return SwitchName.PERSONALIZATION in self.switches.off or user_id in self.users


@dataclass(frozen=True)
class UserGroup:
    """Users whose lists are made by the same release in the same way: those of an arm, or those without one."""

    release: Release
    changes: RankingChanges
    user_ids: Sequence[str]
    arm: str | None = None


def recommend(
    release: Release,
    user_ids: Iterable[str] | None,
    k: int,
    opt_outs: OptOutReader,
    *,
    events: EventStore | None = None,
    fatigue: FatigueConfig = DEFAULT_FATIGUE,
    running: RunningExperiment | None = None,
) -> pa.Table:
    """The first `k` items of each user's list, in the order of `user_ids`, by default for all users of the release.

    Users who must not be profiled and unknown users get the non-profiled list; other users have the arms of a
    running experiment. Raises `OptOutStoreUnavailable`, because no list may be computed without the opt-outs.
    """
    users, refusals = requested_users(release, user_ids), Refusals.of(opt_outs)
    groups = user_groups(release, users, refusals, running)
    return lists_of(groups, users, k, refusals, events, fatigue)


def user_groups(
    release: Release, users: Sequence[str], refusals: Refusals, running: RunningExperiment | None
) -> list[UserGroup]:
    """These users by arm; first those without one."""
    with_rows = [user for user in users if _row(release, user, refusals) >= 0] if running else []
    answers = running.answers(with_rows, release, refusals.switches) if running else ()
    sources_off = refusals.switches.sources_off
    arms = [
        UserGroup(other, RankingChanges.of(sources_off, arm.slate, arm.candidates), some, arm.name)
        for arm, other, some in answers
    ]
    with_arm = {user for group in arms for user in group.user_ids}
    others = [user for user in users if user not in with_arm]
    return [UserGroup(release, RankingChanges(sources_off), others), *arms]


def lists_of(
    groups: Sequence[UserGroup],
    users: Sequence[str],
    k: int,
    refusals: Refusals,
    events: EventStore | None,
    fatigue: FatigueConfig,
) -> pa.Table:
    """The lists of all groups, in the order of `users`."""
    tables = pa.concat_tables([_lists_of_group(group, k, refusals, events, fatigue) for group in groups])
    if len(groups) == 1:
        return tables
    places = pc.index_in(tables[c.USER_ID], pa.array(users, pa.string())).to_numpy()
    return tables.take(np.argsort(places, kind="stable"))


def _lists_of_group(
    group: UserGroup, k: int, refusals: Refusals, events: EventStore | None, fatigue: FatigueConfig
) -> pa.Table:
    release, excluded = group.release, refusals.items(group.release)
    rows = np.array([_row(release, user, refusals) for user in group.user_ids], np.int32)
    profiled = np.unique(rows[rows >= 0])  # two spellings of an id are one user
    personalized = [_personalized(group, some, k, excluded, events, fatigue) for some in _chunks(release, profiled)]
    fallback = fallback_lists(release, k, excluded, sources_off=group.changes.sources_off)
    lists = _joined([*personalized, fallback])
    starts = np.searchsorted(lists.users, np.append(profiled, NO_USER))
    owners, at = CsrRows(np.append(starts, len(lists.users))).where(
        np.where(rows < 0, len(profiled), np.searchsorted(profiled, rows))
    )
    return _table(release, pa.array(group.user_ids, pa.string()).take(pa.array(owners)), lists.taken(at))


def requested_users(release: Release, user_ids: Iterable[str] | None) -> list[str]:
    """Each requested user once, in order; by default those of the release."""
    return list(dict.fromkeys(release.users.ids.tolist() if user_ids is None else user_ids))


@dataclass(frozen=True)
class Lists:
    """The lists of some users side by side, each best first."""

    users: Rows  # [L] `NO_USER` for the non-profiled list
    places: Rows  # [L] 0 for the first of a list
    items: RankedList  # [L]

    def taken(self, which: NDArray[np.integer]) -> "Lists":
        """Some of the rows, by position."""
        items = RankedList(self.items.rows[which], self.items.scores[which], self.items.sources[which])
        return Lists(self.users[which], self.places[which], items)


def fallback_lists(
    release: Release, k: int, excluded: NDArray[np.bool_], *, sources_off: frozenset[str] = frozenset()
) -> Lists:
    """The non-profiled list."""
    ranked = release.fallback_without(sources_off)
    best = np.flatnonzero(~excluded[ranked.rows])[:k]
    items = RankedList(ranked.rows[best], ranked.scores[best], ranked.sources[best])
    return Lists(np.full(len(best), NO_USER, np.int32), np.arange(len(best), dtype=np.int32), items)


def _personalized(
    group: UserGroup,
    user_rows: Rows,
    k: int,
    excluded: NDArray[np.bool_],
    events: EventStore | None,
    fatigue: FatigueConfig,
) -> Lists:
    release = group.release
    users = release.users.ids[user_rows].tolist()
    now, times = datetime.now(UTC), ReleaseTimes(release.manifest.as_of, release.manifest.built_at)
    recent = events.recent_interactions(users, times, impressions_by=now) if events else {}
    of_users = [recent.get(user, []) for user in users]
    ranked = rank_users(
        release.snapshot_with(group.changes),
        release.reranker,
        user_rows,
        k,
        excluded=_excluded(release, excluded, of_users),
        unhidden=unhidden_items(release, user_rows, of_users),
        shown=shown_before(release, user_rows, of_users, fatigue, now),
    )
    slates = ranked.slates
    return Lists(ranked.candidates.user_rows[slates.pairs], slates.places, RankedList.of(ranked, slates.pairs))


def _joined(parts: Sequence[Lists]) -> Lists:
    """All lists, by user."""
    ranked = [part.items for part in parts]
    together = Lists(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.places for part in parts]),
        RankedList(
            np.concatenate([each.rows for each in ranked]),
            np.concatenate([each.scores for each in ranked]),
            np.concatenate([each.sources for each in ranked]),
        ),
    )
    return together.taken(np.argsort(together.users, kind="stable"))


def _row(release: Release, user_id: str, refusals: Refusals) -> int:
    """The row of a user who may be profiled, else -1."""
    return -1 if refusals.forbids_profile(user_id) else release.user_row.get(user_id, -1)


def _excluded(
    release: Release, excluded: NDArray[np.bool_], of_users: Sequence[Sequence[RecentInteraction]]
) -> NDArray[np.bool_]:
    """[I], or [B, I] where one of the users has interactions that the release does not include."""
    if not any(of_users):
        return excluded
    own = np.tile(excluded, (len(of_users), 1))
    for items, recent in zip(own, of_users, strict=True):
        items[left_out(release, recent)] = True
    return own


def _chunks(release: Release, user_rows: Rows) -> Iterator[Rows]:
    """Users with histories of like length together, because the index is searched as deep as the longest one needs."""
    by_length = user_rows[np.argsort(release.users.history.counts[user_rows], kind="stable")]
    return (by_length[start : start + USERS_PER_CHUNK] for start in range(0, len(by_length), USERS_PER_CHUNK))


def _table(release: Release, users: pa.Array, lists: Lists) -> pa.Table:
    item_ids = pa.array(release.items.ids, pa.string()).take(pa.array(lists.items.rows))
    ranks, scores = pa.array(lists.places + 1, pa.int32()), pa.array(lists.items.scores, pa.float32())
    return pa.table([users, item_ids, ranks, scores, pa.array(lists.items.sources, pa.string())], LISTS)
