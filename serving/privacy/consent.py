"""Whom a feed is for: asked before anything of a user is read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from contracts.errors import EventStoreUnavailable, OptOutStoreUnavailable
from contracts.ids import spellings
from serving.event_store import PendingEvents, Touch
from serving.privacy.opt_out_store import OptOutStore, Standing
from serving.releases.loaded_release import SECONDS_AN_HOUR, Release


class Reason(StrEnum):
    """Why a feed is not profiled."""

    OPTED_OUT = "opted_out"
    GLOBAL_PRIVACY_CONTROL = "global_privacy_control"
    OPT_OUT_STORE_UNAVAILABLE = "opt_out_store_unavailable"
    EVENT_STORE_UNAVAILABLE = "event_store_unavailable"
    RELEASE_NOT_PROFILED = "release_not_profiled"
    UNKNOWN_USER = "unknown_user"
    NO_USER = "no_user"


@dataclass(frozen=True)
class Audience:
    """Everything about the asker that ranking may use. With a `reason`, that is nothing."""

    user_row: int | None
    reason: Reason | None
    standing: Standing
    touches: tuple[Touch, ...] = ()


class Doorkeeper:
    """Reads the stores at each request, the opt-outs first."""

    def __init__(self, opt_outs: OptOutStore, pending: PendingEvents) -> None:
        """The two stores that a feed must not answer without."""
        self._opt_outs, self._pending = opt_outs, pending

    def admit(self, release: Release, user_id: str | None, *, gpc: bool) -> Audience:
        """Decide what may be read of a user; it fails closed."""
        try:
            standing = self._opt_outs.standing(user_id)
        except OptOutStoreUnavailable:
            return Audience(None, Reason.OPT_OUT_STORE_UNAVAILABLE, self._opt_outs.last_known())
        reason = _refusal(standing, user_id, gpc=gpc)
        row = _user_row(release, user_id) if user_id is not None and reason is None else None
        if user_id is None or row is None:
            unknown = Reason.UNKNOWN_USER if release.profiled else Reason.RELEASE_NOT_PROFILED
            return Audience(None, reason or unknown, standing)
        try:
            return Audience(row, None, standing, tuple(self._pending.touched(user_id)))
        except EventStoreUnavailable:
            return Audience(None, Reason.EVENT_STORE_UNAVAILABLE, standing)


def _user_row(release: Release, user_id: str) -> int | None:
    rows = (release.user_row.get(spelling) for spelling in spellings(user_id))
    return next((row for row in rows if row is not None), None)


def _refusal(standing: Standing, user_id: str | None, *, gpc: bool) -> Reason | None:
    if user_id is None:
        return Reason.NO_USER
    if standing.unreadable:
        return Reason.OPTED_OUT
    return Reason.GLOBAL_PRIVACY_CONTROL if gpc else None


def not_shown(release: Release, standing: Standing, now: datetime) -> NDArray[np.bool_]:
    """[I] items that nobody is shown: opted out, by an opted-out creator, or removed."""
    removed: NDArray[np.bool_] = release.removed_hours <= now.timestamp() / SECONDS_AN_HOUR
    return removed | _withheld(_Same(release), standing.items, standing.creators)


@dataclass(frozen=True)
class _Same:
    """A release as the key of a cache: the same object."""

    release: Release

    def __hash__(self) -> int:
        return id(self.release)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.release is self.release


@lru_cache(maxsize=1)  # one, so that no more than the release that is served is held
def _withheld(same: _Same, items: frozenset[str], creators: frozenset[str]) -> NDArray[np.bool_]:
    """[I] items that opted out, themselves or through their creator; many flags are looked up once a change."""
    release = same.release
    gone = np.zeros(len(release.removed_hours), bool)
    gone[rows_of(release, items)] = True
    for creator in creators & release.creator_rows.keys():
        gone[release.creator_rows[creator]] = True
    return gone


def rows_of(release: Release, item_ids: Iterable[str]) -> list[int]:
    """Rows of the items that the release knows."""
    return [release.item_row[item] for item in item_ids if item in release.item_row]
