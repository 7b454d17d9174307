"""Explanations: why an item is shown, as data and as one sentence."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import Action
from contracts import columns as c
from ranking.attribution import Signal, reasons
from ranking.candidates import taken
from ranking.feature_arrays import Rows
from ranking.rank_users import RankedUsers
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
    created = release.catalogue[c.CREATED_AT].take(rows).to_pylist()
    signals = np.where(sources == FRESH, Signal.FRESH, Signal.TRENDING).tolist()
    return [Explanation(Signal(signal), sentence(signal, at)) for signal, at in zip(signals, created, strict=True)]


def explain_personalized(
    release: Release, ranked: RankedUsers, pairs: NDArray[np.int64], hidden: NDArray[np.bool_]
) -> list[Explanation]:
    """Explanations of some pairs of one user, from the model's attributions. No text names a `hidden` item, [I]."""
    candidates = taken(ranked.candidates, pairs)
    features, least = ranked.features[pairs], release.ranking.reasons.threshold
    why = reasons(release.users, release.items, candidates, features, release.reranker, min_similarity=least)
    named = (why.evidence >= 0) & ~hidden[why.evidence]
    shown = release.catalogue.select([c.ITEM_ID, c.TITLE]).take(np.where(named, why.evidence, 0)).to_pylist()
    created = release.catalogue[c.CREATED_AT].take(candidates.item_rows).to_pylist()
    saved = np.isin(why.evidence, _saved_items(release, candidates.user_rows[:1]))
    facts = zip(why.signals.tolist(), created, named, shown, saved, why.similarities.tolist(), strict=True)
    return [
        _with_evidence(signal, item, Action.SAVE if was_saved else Action.CLICK, similarity)
        if has_evidence
        else Explanation(Signal(signal), sentence(signal, at))
        for signal, at, has_evidence, item, was_saved, similarity in facts
    ]


def sentence(signal: str, created_at: datetime | None) -> str:
    """The text of a signal that rests on no item of the user's history."""
    if signal == Signal.FRESH:
        return f"New, from {created_at.day} {created_at:%B %Y}" if created_at else "New"
    return SENTENCES[Signal(signal)]


def _with_evidence(signal: str, item: dict[str, Any], action: Action, similarity: float) -> Explanation:
    name = item[c.TITLE] or item[c.ITEM_ID]
    text = f"{BECAUSE[action]} “{name}”"
    return Explanation(Signal(signal), text, item[c.ITEM_ID], item[c.TITLE], action, round(similarity, 3))


def _saved_items(release: Release, user_rows: Rows) -> Rows:
    users = release.users
    histories = [slice(users.history_offsets[row], users.history_offsets[row + 1]) for row in user_rows]
    return np.concatenate(
        [users.history_items[own][users.history_saves[own] > 0] for own in histories] or [np.zeros(0, int)]
    )
