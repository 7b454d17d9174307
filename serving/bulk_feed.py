"""The home feeds of many users in one request: one consent check, and one ranking for all users of an arm."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from contracts.switches import SwitchName
from ranking.fatigue import FatigueConfig
from ranking.rank_users import rank_users
from serving.cursor import Cursor
from serving.exploration import ExplorationConfig
from serving.feed import Feed, FeedItem, fallback_page, feed_items, in_other_languages
from serving.feed_request import FeedParts
from serving.list_pages import Page, personalized_page
from serving.posted_interactions import left_out, unhidden_items
from serving.privacy.active_opt_outs import ActiveOptOuts
from serving.privacy.consent import UserContext, excluded_items
from serving.release_choice import Choice
from serving.releases.loaded_release import Release
from serving.releases.ranking_changes import RankingChanges
from serving.shown_items import shown_before, shown_last
from serving.stores.sql_store import batched

USERS_AT_ONCE = 128
"""Users ranked together; a hundred take some tens of megabytes."""


@dataclass(frozen=True)
class FeedBatch:
    """The first page of each requested user's feed, in the order of the request. `release` is the current one; a feed
    names its own, which differs where an arm of an experiment is another release."""

    request_id: str
    release: str
    feeds: list[Feed]


@dataclass(frozen=True)
class ServedBatch:
    """The feeds of a request, and what each was made of, for the logs."""

    batch: FeedBatch
    choices: Mapping[str, Choice]
    pages: Mapping[str, Page]


class BulkFeed:
    """First pages from the current release. They equal those of `HomeFeed`, without explanations."""

    def __init__(self, parts: FeedParts) -> None:
        """Reads nothing yet."""
        self._parts = parts

    def served(
        self,
        user_ids: Sequence[str],
        *,
        limit: int,
        languages: frozenset[str] | None = None,
        gpc: bool = False,
        request_id: str = "",
    ) -> ServedBatch:
        """A page of at most `limit` items for each user. Raises `ReleaseMissing`."""
        now = datetime.now(UTC)
        chosen = self._parts.chooser.choose_many(user_ids, gpc=gpc, shown_by=now)
        pages: dict[str, Page] = {}
        items: dict[str, list[FeedItem]] = {}
        for group in _feed_groups(chosen.of_users):
            some = self._pages(group, languages, limit, now)
            pages |= some
            items |= _items_of(group.release, some)
        following = {user: self._parts.cursors.encoded(page.cursor) for user, page in pages.items() if page.cursor}
        feeds = [
            Feed(
                user_id=user,
                request_id=request_id,
                release=choice.release.version,
                reduced_to=choice.release.reduced_to,
                personalized=choice.context.reason is None,
                reason=choice.context.reason,
                items=items[user],
                cursor=following.get(user),
            )
            for user, choice in ((user, chosen.of_users[user]) for user in user_ids)
        ]
        return ServedBatch(FeedBatch(request_id, chosen.release.version, feeds), chosen.of_users, pages)

    def _pages(
        self, group: "_FeedGroup", languages: frozenset[str] | None, limit: int, now: datetime
    ) -> dict[str, Page]:
        if not group.personalized:
            return dict.fromkeys(group.contexts, _fallback(group.release, group.opt_outs, languages, limit, now))
        is_off = SwitchName.EXPLORATION in group.opt_outs.switches.off
        pages = _PageMaker(
            group.release, group.changes, limit, now, self._parts.fatigue, self._parts.exploration.unless(off=is_off)
        )
        return pages.of(group.contexts)


@dataclass(frozen=True)
class _FeedGroup:
    """Users whose feeds are made by the same release in the same way."""

    release: Release
    changes: RankingChanges
    contexts: dict[str, UserContext]

    @property
    def opt_outs(self) -> ActiveOptOuts:
        """The items, creators and switches of one of them, which are those of all."""
        return next(iter(self.contexts.values())).opt_outs

    @property
    def personalized(self) -> bool:
        """Whether they may be profiled."""
        return next(iter(self.contexts.values())).user_row is not None


def _feed_groups(choices: Mapping[str, Choice]) -> list[_FeedGroup]:
    found: dict[tuple[str, RankingChanges, bool], _FeedGroup] = {}
    for user, choice in choices.items():
        key = choice.release.version, choice.changes, choice.context.user_row is not None
        group = found.setdefault(key, _FeedGroup(choice.release, choice.changes, {}))
        group.contexts[user] = choice.context
    return list(found.values())


def _fallback(
    release: Release, opt_outs: ActiveOptOuts, languages: frozenset[str] | None, limit: int, now: datetime
) -> Page:
    excluded = excluded_items(release, opt_outs, now) | in_other_languages(release, languages)
    start, sources_off = _start(release, now, personalized=False), opt_outs.switches.sources_off
    return fallback_page(release, excluded, start, limit, sources_off=sources_off)[0]


@dataclass(frozen=True)
class _PageMaker:
    """Ranks for users who may be profiled."""

    release: Release
    changes: RankingChanges
    limit: int
    now: datetime
    fatigue: FatigueConfig
    exploration: ExplorationConfig

    def of(self, contexts: Mapping[str, UserContext]) -> dict[str, Page]:
        """The page of each user; two spellings of an id are one user."""
        users_of: dict[int, list[str]] = defaultdict(list)
        for user, context in contexts.items():
            if context.user_row is not None:
                users_of[context.user_row].append(user)
        pages: dict[str, Page] = {}
        for rows in batched(list(users_of), USERS_AT_ONCE):
            some = [contexts[users_of[row][0]] for row in rows]
            for row, page in zip(rows, self._ranked(some), strict=True):
                pages |= dict.fromkeys(users_of[row], page)
        return pages

    def _ranked(self, contexts: Sequence[UserContext]) -> list[Page]:
        """One page for each context, all of different users."""
        release, now = self.release, self.now
        user_rows = np.array([context.user_row for context in contexts], np.int32)
        excluded = np.tile(excluded_items(release, contexts[0].opt_outs, now), (len(contexts), 1))
        for own, context in zip(excluded, contexts, strict=True):
            own[left_out(release, context.recent_interactions)] = True
        recent = [context.recent_interactions for context in contexts]
        ranked = rank_users(
            release.snapshot_with(self.changes),
            release.reranker,
            user_rows,
            self.limit + 1,
            excluded=excluded,
            unhidden=unhidden_items(release, user_rows, recent),
            shown=shown_before(release, user_rows, recent, self.fatigue, now),
            preceding=shown_last(release, recent, self.fatigue, now),
        )
        table = ranked.slates.matrix(ranked.candidates, user_rows, self.limit + 1)
        start, nothing = _start(release, now, personalized=True), np.zeros(len(release.items.ids), bool)
        return [
            personalized_page(release, ranked, pairs[pairs >= 0], nothing, start, self.limit, self.exploration)[1]
            for pairs in table
        ]


def _start(release: Release, now: datetime, *, personalized: bool) -> Cursor:
    return Cursor(release=release.version, personalized=personalized, since=now, offset=0, rank=0)


def _items_of(release: Release, pages: Mapping[str, Page]) -> dict[str, list[FeedItem]]:
    """The items of each user's page; a page that several users share is read once."""
    distinct = {id(page): page for page in pages.values()}
    items = {key: feed_items(release, page, [None] * len(page.rows), 0) for key, page in distinct.items()}
    return {user: items[id(page)] for user, page in pages.items()}
