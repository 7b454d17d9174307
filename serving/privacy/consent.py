"""The consent check of each request: what a feed may read of a user, and which items it must leave out."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.errors import EventStoreUnavailable, OptOutStoreUnavailable
from contracts.ids import spellings
from contracts.opt_out_flags import UNREADABLE, SubjectType
from contracts.switches import SwitchName
from serving.privacy.active_opt_outs import ActiveOptOuts
from serving.privacy.opt_out_store import OptOutStore
from serving.recent_interactions import RecentInteraction, ReleaseTimes
from serving.releases.loaded_release import SECONDS_AN_HOUR, Release
from serving.stores.event_store import EventStore


class NotPersonalized(StrEnum):
    """Why a feed is not personalized."""

    OPTED_OUT = "opted_out"
    GLOBAL_PRIVACY_CONTROL = "global_privacy_control"
    OPT_OUT_STORE_UNAVAILABLE = "opt_out_store_unavailable"
    SWITCHED_OFF = "personalization_switched_off"
    EVENT_STORE_UNAVAILABLE = "event_store_unavailable"
    RELEASE_NOT_PROFILED = "release_not_profiled"
    UNKNOWN_USER = "unknown_user"
    NO_USER = "no_user"


@dataclass(frozen=True)
class UserContext:
    """All that ranking may use of a user. With a `reason` there is no user row and there are no interactions."""

    user_row: int | None
    reason: NotPersonalized | None
    opt_outs: ActiveOptOuts
    recent_interactions: tuple[RecentInteraction, ...] = ()


class OfUser(Protocol):
    """Anything that was made for one user."""

    @property
    def user_id(self) -> str | None:
        """The user; `None` for none."""
        ...


E = TypeVar("E", bound=OfUser)


def of_readable_users(opt_outs: OptOutStore, entries: Iterable[E]) -> list[E]:
    """Those whose user has not opted out while they waited. Raises `OptOutStoreUnavailable`."""
    waiting = list(entries)
    refused = opt_outs.among(SubjectType.USER, {each.user_id for each in waiting if each.user_id}, UNREADABLE)
    return [each for each in waiting if each.user_id not in refused]


class ConsentGate:
    """Reads the two stores for each request, the opt-outs first."""

    def __init__(self, opt_outs: OptOutStore, events: EventStore) -> None:
        """A personalized feed needs both stores."""
        self._opt_outs, self._events = opt_outs, events

    def user_context(
        self, release: Release, user_id: str | None, *, gpc: bool, shown_by: datetime | None = None
    ) -> UserContext:
        """Decide what may be read of a user, and read it: of impressions, those posted by `shown_by`. Where a store is
        unavailable, nothing is read."""
        try:
            active = self._opt_outs.active(user_id)
        except OptOutStoreUnavailable:
            return UserContext(None, NotPersonalized.OPT_OUT_STORE_UNAVAILABLE, self._opt_outs.last_known())
        reason = _refusal(active, user_id, gpc=gpc)
        row = _user_row(release, user_id) if user_id is not None and reason is None else None
        if user_id is None or row is None:
            return UserContext(None, reason or _unknown(release), active)
        return self._with_recent(release, {user_id: row}, active, shown_by)[user_id]

    def user_contexts(
        self, release: Release, user_ids: Iterable[str], *, gpc: bool, shown_by: datetime | None = None
    ) -> dict[str, UserContext]:
        """`user_context` of many users, with a few queries for all."""
        users = list(dict.fromkeys(user_ids))
        try:
            opted_out, active = self._opt_outs.among(SubjectType.USER, users, UNREADABLE), self._opt_outs.active(None)
        except OptOutStoreUnavailable:
            unavailable = UserContext(None, NotPersonalized.OPT_OUT_STORE_UNAVAILABLE, self._opt_outs.last_known())
            return dict.fromkeys(users, unavailable)
        for_all = _refusal_of_all(active, gpc=gpc)
        refused = dict.fromkeys(users, for_all) if for_all else {}
        refused |= dict.fromkeys(opted_out, NotPersonalized.OPTED_OUT)
        rows = {user: _user_row(release, user) for user in users if user not in refused}
        profiled = {user: row for user, row in rows.items() if row is not None}
        known = self._with_recent(release, profiled, active, shown_by)
        unknown = _unknown(release)
        return {user: known.get(user, UserContext(None, refused.get(user, unknown), active)) for user in users}

    def _with_recent(
        self, release: Release, user_rows: dict[str, int], active: ActiveOptOuts, shown_by: datetime | None
    ) -> dict[str, UserContext]:
        times = ReleaseTimes(release.manifest.as_of, release.manifest.built_at)
        try:
            recent = self._events.recent_interactions(user_rows, times, impressions_by=shown_by)
        except EventStoreUnavailable:
            return dict.fromkeys(user_rows, UserContext(None, NotPersonalized.EVENT_STORE_UNAVAILABLE, active))
        return {user: UserContext(row, None, active, tuple(recent.get(user, ()))) for user, row in user_rows.items()}


def _unknown(release: Release) -> NotPersonalized:
    return NotPersonalized.UNKNOWN_USER if release.profiled else NotPersonalized.RELEASE_NOT_PROFILED


def _user_row(release: Release, user_id: str) -> int | None:
    rows = (release.user_row.get(spelling) for spelling in spellings(user_id))
    return next((row for row in rows if row is not None), None)


def _refusal(active: ActiveOptOuts, user_id: str | None, *, gpc: bool) -> NotPersonalized | None:
    if user_id is None:
        return NotPersonalized.NO_USER
    if active.forbids_profile:
        return NotPersonalized.OPTED_OUT
    return _refusal_of_all(active, gpc=gpc)


def _refusal_of_all(active: ActiveOptOuts, *, gpc: bool) -> NotPersonalized | None:
    """Why no feed of a request is personalized, for any user."""
    if gpc:
        return NotPersonalized.GLOBAL_PRIVACY_CONTROL
    return NotPersonalized.SWITCHED_OFF if SwitchName.PERSONALIZATION in active.switches.off else None


def excluded_items(release: Release, active: ActiveOptOuts, now: datetime) -> NDArray[np.bool_]:
    """[I] items that no feed shows: opted out, by an opted-out creator, or removed from the catalogue. Read-only: it is
    computed once for each change of the opt-outs and each removal."""
    removed = int(np.searchsorted(release.removals, now.timestamp() / SECONDS_AN_HOUR, side="right"))
    last = release.removals[removed - 1] if removed else -np.inf
    return _kept(
        release,
        "excluded",
        (active.items, active.creators, removed),
        lambda: (release.removed_hours <= last) | opted_out_items(release, active),
    )


def opted_out_items(release: Release, active: ActiveOptOuts) -> NDArray[np.bool_]:
    """[I] items that opted out, themselves or through their creator. Read-only: it is computed once for each change of
    the opt-outs."""
    return _kept(
        release,
        "opted_out",
        (active.items, active.creators),
        lambda: _opted_out_items(release, active.items, active.creators),
    )


def _kept(
    release: Release, name: str, key: tuple[Hashable, ...], compute: Callable[[], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """The mask of this name that was computed last, if its key is the same. The release has it, and goes with it."""
    known, mask = release.masks.get(name, (None, None))
    if mask is None or known != key:
        mask = compute()
        mask.setflags(write=False)
        release.masks[name] = key, mask
    return mask


def _opted_out_items(release: Release, items: frozenset[str], creators: frozenset[str]) -> NDArray[np.bool_]:
    excluded = np.zeros(len(release.removed_hours), bool)
    excluded[rows_of(release, items)] = True
    for creator in creators & release.creator_rows.keys():
        excluded[release.creator_rows[creator]] = True
    return excluded


def rows_of(release: Release, item_ids: Iterable[str]) -> list[int]:
    """The rows of those items that are in the release."""
    return [release.item_row[item] for item in item_ids if item in release.item_row]
