"""The home feeds of many users in one request: one consent check, and one ranking for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from contracts.switches import Switches, SwitchName
from ranking.exploration import NO_EXPLORATION, ExplorationConfig
from ranking.fatigue import DEFAULT_FATIGUE, FatigueConfig
from ranking.rank_users import rank_users
from serving.cursor import Cursor, CursorSigner
from serving.feed import Feed, FeedItem, fallback_page, feed_items, in_other_languages
from serving.pages import Page, personalized_page
from serving.posted_interactions import left_out, unhidden_items
from serving.privacy.consent import ConsentGate, UserContext, excluded_items
from serving.releases.loaded_release import Release
from serving.releases.ranking_changes import RankingChanges
from serving.releases.release_loader import ReloadingRelease
from serving.shown_items import shown_before, shown_last
from serving.sql_store import batched

USERS_AT_ONCE = 128
"""Users ranked together; a hundred take some tens of megabytes."""


@dataclass(frozen=True)
class FeedBatch:
    """The first page of each requested user's feed, in the order of the request."""

    request_id: str
    release: str
    feeds: list[Feed]


class BulkFeed:
    """First pages from the current release. They equal those of `HomeFeed`, without explanations."""

    def __init__(
        self,
        loader: ReloadingRelease,
        gate: ConsentGate,
        cursors: CursorSigner,
        fatigue: FatigueConfig = DEFAULT_FATIGUE,
        exploration: ExplorationConfig = NO_EXPLORATION,
    ) -> None:
        """The release and the stores are read anew at each request."""
        self._exploration = exploration
        self._loader, self._gate, self._cursors, self._fatigue = loader, gate, cursors, fatigue

    def feeds(
        self,
        user_ids: Sequence[str],
        *,
        limit: int,
        languages: frozenset[str] | None = None,
        gpc: bool = False,
        request_id: str = "",
    ) -> FeedBatch:
        """A page of at most `limit` items for each user. Raises `ReleaseMissing`."""
        release, now = self._loader.get(), datetime.now(UTC)
        contexts = self._gate.user_contexts(release, user_ids, gpc=gpc, shown_by=now)
        pinned = self._loader.under_pin(_switches(contexts).pinned_release)
        if pinned is not release:
            release, contexts = pinned, self._gate.user_contexts(pinned, user_ids, gpc=gpc, shown_by=now)
        pages = _personalized_pages(release, contexts, limit, now, self._fatigue, self._exploration)
        if len(pages) < len(contexts):
            pages = dict.fromkeys(contexts, _fallback(release, contexts, languages, limit, now)) | pages
        items = _items_of(release, pages)
        following = {user: self._cursors.encoded(page.cursor) for user, page in pages.items() if page.cursor}
        feeds = [
            Feed(
                user_id=user,
                request_id=request_id,
                release=release.version,
                reduced_to=release.reduced_to,
                personalized=contexts[user].reason is None,
                reason=contexts[user].reason,
                items=items[user],
                cursor=following.get(user),
            )
            for user in user_ids
        ]
        return FeedBatch(request_id, release.version, feeds)


def _fallback(
    release: Release,
    contexts: Mapping[str, UserContext],
    languages: frozenset[str] | None,
    limit: int,
    now: datetime,
) -> Page:
    opt_outs = next(iter(contexts.values())).opt_outs
    excluded = excluded_items(release, opt_outs, now) | in_other_languages(release, languages)
    start, sources_off = _start(release, now, personalized=False), opt_outs.switches.sources_off
    return fallback_page(release, excluded, start, limit, sources_off=sources_off)[0]


def _switches(contexts: Mapping[str, UserContext]) -> Switches:
    """The same for all users."""
    return next(iter(contexts.values())).opt_outs.switches


def _personalized_pages(
    release: Release,
    contexts: Mapping[str, UserContext],
    limit: int,
    now: datetime,
    fatigue: FatigueConfig,
    exploration: ExplorationConfig,
) -> dict[str, Page]:
    users_of: dict[int, list[str]] = {}  # two spellings of an id are one user
    for user, context in contexts.items():
        if context.user_row is not None:
            users_of.setdefault(context.user_row, []).append(user)
    pages: dict[str, Page] = {}
    for rows in batched(list(users_of), USERS_AT_ONCE):
        some = [contexts[users_of[row][0]] for row in rows]
        for row, page in zip(rows, _ranked_pages(release, some, limit, now, fatigue, exploration), strict=True):
            pages |= dict.fromkeys(users_of[row], page)
    return pages


def _ranked_pages(
    release: Release,
    contexts: Sequence[UserContext],
    limit: int,
    now: datetime,
    fatigue: FatigueConfig,
    exploration: ExplorationConfig,
) -> list[Page]:
    """One page for each context, all of different users."""
    user_rows = np.array([context.user_row for context in contexts], np.int32)
    excluded = np.tile(excluded_items(release, contexts[0].opt_outs, now), (len(contexts), 1))
    for own, context in zip(excluded, contexts, strict=True):
        own[left_out(release, context.recent_interactions)] = True
    recent = [context.recent_interactions for context in contexts]
    ranked = rank_users(
        release.snapshot_with(RankingChanges(contexts[0].opt_outs.switches.sources_off)),
        release.reranker,
        user_rows,
        limit + 1,
        excluded=excluded,
        unhidden=unhidden_items(release, user_rows, recent),
        shown=shown_before(release, user_rows, recent, fatigue, now),
        preceding=shown_last(release, recent, fatigue, now),
    )
    table = ranked.slates.matrix(ranked.candidates, user_rows, limit + 1)
    start, nothing = _start(release, now, personalized=True), np.zeros(len(release.items.ids), bool)
    explored = exploration.unless(off=SwitchName.EXPLORATION in contexts[0].opt_outs.switches.off)
    return [
        personalized_page(release, ranked, pairs[pairs >= 0], nothing, start, limit, explored)[1] for pairs in table
    ]


def _start(release: Release, now: datetime, *, personalized: bool) -> Cursor:
    return Cursor(release=release.version, personalized=personalized, since=now, offset=0, rank=0)


def _items_of(release: Release, pages: Mapping[str, Page]) -> dict[str, list[FeedItem]]:
    """The items of each user's page; a page that several users share is read once."""
    distinct = {id(page): page for page in pages.values()}
    items = {key: feed_items(release, page, [None] * len(page.rows), 0) for key, page in distinct.items()}
    return {user: items[id(page)] for user, page in pages.items()}
