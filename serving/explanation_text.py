"""Explanations: why an item is shown, as data and as one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from contracts import Action
from ranking.attribution import reasons
from ranking.candidates import taken
from ranking.feature_arrays import Rows
from ranking.feature_names import ITEM_FEATURE_NAMES
from ranking.rank_users import RankedUsers
from ranking.signals import Signal
from serving.releases.item_display import ItemDisplay
from serving.releases.loaded_release import Release
from serving.releases.ranked_list import FRESH

SENTENCES = {
    Signal.SIMILAR: "Suggested by what you read and save",
    Signal.CREATOR: "By a creator that you have read",
    Signal.CATEGORY: "In a category that you have read",
    Signal.LANGUAGE: "In a language that you have read",
}
"""Sentences that are true of a single item in the history too."""
PERIODS = {"users_7d": " in the last week", "users_28d": " in the last four weeks", "users": ""}
"""How long the users of each feature have been counted, in words; the shortest one comes first."""
MIN_READERS = 5
"""A smaller count is no reason to read, and could be about one user."""
READER_COLUMNS = [ITEM_FEATURE_NAMES.index(name) for name in PERIODS]
OTHERS = "Suggested by what others read"
NEW_DAYS = 28
"""Days after which an item is no longer called new."""
BECAUSE = {Action.SAVE: "Because you saved", Action.CLICK: "Because you read"}


@dataclass(frozen=True)
class Explanation:
    """`kind` is the signal that moved the score most. Where it rests on one item of the user's history, `item_id` and
    `title` name that item, with the user's action on it and its cosine similarity."""

    kind: Signal
    text: str
    item_id: str | None = None
    title: str | None = None
    action: Action | None = None
    similarity: float | None = None


def explain_fallback(release: Release, rows: Rows, sources: NDArray[np.str_]) -> list[Explanation]:
    """Explanations of items in the non-profiled list; they use data of the item alone."""
    signals = [Signal.FRESH if source == FRESH else Signal.TRENDING for source in sources.tolist()]
    return [Explanation(signal, text) for signal, text in zip(signals, sentences(release, rows, signals), strict=True)]


def explain_personalized(
    release: Release, ranked: RankedUsers, pairs: NDArray[np.int64], hidden: NDArray[np.bool_]
) -> list[Explanation]:
    """Explanations of some pairs of one user, from the model's attributions. No text names a `hidden` item, [I]."""
    candidates = taken(ranked.candidates, pairs)
    features, least = ranked.features[pairs], release.ranking.reasons.threshold
    why = reasons(release.users, release.items, candidates, features, release.reranker, min_similarity=least)
    named = (why.evidence >= 0) & ~hidden[why.evidence]
    rows = np.concatenate([np.where(named, why.evidence, 0), candidates.item_rows])  # read together
    shown = release.displays.of(rows)[: len(pairs)]
    texts = sentences(release, candidates.item_rows, why.signals.tolist())
    saved = _saved_items(release, candidates.user_rows[:1])
    are_saved = (row in saved for row in why.evidence.tolist())
    facts = zip(why.signals.tolist(), texts, named.tolist(), shown, are_saved, why.similarities.tolist(), strict=True)
    return [
        _with_evidence(signal, evidence, Action.SAVE if was_saved else Action.CLICK, similarity)
        if has_evidence
        else Explanation(signal, text)
        for signal, text, has_evidence, evidence, was_saved, similarity in facts
    ]


def sentences(release: Release, rows: Rows, signals: Sequence[Signal]) -> list[str]:
    """The texts of signals that rest on no item of the user's history. Each holds for its item."""
    items = release.displays.of(rows)
    counts = release.items.features[rows[:, None], READER_COLUMNS].tolist()  # NaN is below every minimum
    as_of = release.manifest.as_of
    return [
        SENTENCES.get(signal) or (newness(item.created_at, as_of) if signal is Signal.FRESH else readership(readers))
        for signal, item, readers in zip(signals, items, counts, strict=True)
    ]


def newness(created_at: datetime | None, as_of: datetime) -> str:
    """When an item appeared; it is new for four weeks."""
    if created_at is None:
        return "New"
    day = f"{created_at.day} {created_at:%B %Y}"
    return f"New, from {day}" if as_of - created_at <= timedelta(days=NEW_DAYS) else f"From {day}"


def readership(readers: Sequence[float]) -> str:
    """How many users read an item, in the shortest of `PERIODS` in which there were enough."""
    periods = zip(PERIODS.values(), readers, strict=True)
    return next((f"Read by {int(count):,} people{period}" for period, count in periods if count >= MIN_READERS), OTHERS)


def _with_evidence(signal: Signal, item: ItemDisplay, action: Action, similarity: float) -> Explanation:
    text = f"{BECAUSE[action]} “{item.title or item.item_id}”"
    return Explanation(signal, text, item.item_id, item.title, action, round(similarity, 3))


def _saved_items(release: Release, user_rows: Rows) -> set[int]:
    users = release.users
    _, positions = users.history.where(user_rows)
    return set(users.history_items[positions][users.history_saves[positions] > 0].tolist())
