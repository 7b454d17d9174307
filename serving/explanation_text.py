"""Explanations: why an item is shown, as data and as one sentence."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from contracts import Action
from ranking.attribution import reasons
from ranking.candidates import taken
from ranking.feature_arrays import Rows
from ranking.rank_users import RankedUsers
from ranking.signals import Signal
from serving.releases.item_display import ItemDisplay
from serving.releases.loaded_release import FRESH, Release

SENTENCES = {
    Signal.SIMILAR: "Suggested by what you read and save",
    Signal.CREATOR: "You often read this creator",
    Signal.CATEGORY: "From a category you often read",
    Signal.LANGUAGE: "In a language you often read",
    Signal.TRENDING: "Many people are reading this now",
    Signal.POPULAR: "People who come across this tend to like it",
}
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
    """Explanations of items in the non-personalized list; they use data of the item alone."""
    signals = [Signal.FRESH if source == FRESH else Signal.TRENDING for source in sources.tolist()]
    items = release.displays.of(rows)
    return [Explanation(signal, sentence(signal, item.created_at)) for signal, item in zip(signals, items, strict=True)]


def explain_personalized(
    release: Release, ranked: RankedUsers, pairs: NDArray[np.int64], hidden: NDArray[np.bool_]
) -> list[Explanation]:
    """Explanations of some pairs of one user, from the model's attributions. No text names a `hidden` item, [I]."""
    candidates = taken(ranked.candidates, pairs)
    features, least = ranked.features[pairs], release.ranking.reasons.threshold
    why = reasons(release.users, release.items, candidates, features, release.reranker, min_similarity=least)
    named = (why.evidence >= 0) & ~hidden[why.evidence]
    shown, items = (release.displays.of(rows) for rows in (np.where(named, why.evidence, 0), candidates.item_rows))
    saved = _saved_items(release, candidates.user_rows[:1])
    are_saved = (row in saved for row in why.evidence.tolist())
    facts = zip(why.signals.tolist(), items, named.tolist(), shown, are_saved, why.similarities.tolist(), strict=True)
    return [
        _with_evidence(signal, evidence, Action.SAVE if was_saved else Action.CLICK, similarity)
        if has_evidence
        else Explanation(Signal(signal), sentence(signal, item.created_at))
        for signal, item, has_evidence, evidence, was_saved, similarity in facts
    ]


def sentence(signal: str, created_at: datetime | None) -> str:
    """The text of a signal that rests on no item of the user's history."""
    if signal == Signal.FRESH:
        return f"New, from {created_at.day} {created_at:%B %Y}" if created_at else "New"
    return SENTENCES[Signal(signal)]


def _with_evidence(signal: str, item: ItemDisplay, action: Action, similarity: float) -> Explanation:
    text = f"{BECAUSE[action]} “{item.title or item.item_id}”"
    return Explanation(Signal(signal), text, item.item_id, item.title, action, round(similarity, 3))


def _saved_items(release: Release, user_rows: Rows) -> set[int]:
    users = release.users
    _, positions = users.history.where(user_rows)
    return set(users.history_items[positions][users.history_saves[positions] > 0].tolist())
