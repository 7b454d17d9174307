"""What a method scored for each asked person, without a name, so that two experiments pair up person by person.

One row a person and week: `week`, `person`, each metric, the word of each group of people that the person belongs to
(`users/history`), and recall on the labels of each group of items alone (`items/tail`). No id is in it, and the order
of rows follows from the ids of everyone asked, all together: two experiments with one question line up, and whoever
holds this table, or knows some of the ids as well, cannot tell whose a row is. Who knows everyone's ids can, and has
the data anyway. A group of fewer than `MIN_USERS` people is not told apart here, it is `other`.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
import polars as pl

from contracts.errors import BadEvaluationInput
from evaluation.fingerprint import digest
from evaluation.ranking_metrics import recall_at_k
from evaluation.rankings import Floats, Labels, Mask, RankedLists
from evaluation.segment_metrics import OTHER, GroupLabels

WEEK, PERSON = "week", "person"
USERS, ITEMS = "users/", "items/"
MIN_USERS = 5


def week_marks(
    user_ids: pl.Series,
    per_user: Mapping[str, Floats],
    *,
    users: Mapping[str, GroupLabels],
    items: Mapping[str, Floats],
) -> pl.DataFrame:
    """One week with the ids still in it, for `nameless`: metrics, groups of people, recall by items, each [U]."""
    groups = {f"{USERS}{name}": pl.Series(words, dtype=pl.String) for name, words in users.items()}
    return pl.DataFrame({PERSON: user_ids, **per_user, **groups, **{f"{ITEMS}{name}": v for name, v in items.items()}})


def nameless(weeks: list[pl.DataFrame]) -> pl.DataFrame:
    """`week_marks` of all weeks as one table in the order that says nothing. Raises `BadEvaluationInput`."""
    if not weeks:
        raise BadEvaluationInput("no week was measured; give at least one")
    rows = pl.concat([week.select(pl.lit(at, pl.Int32).alias(WEEK), pl.all()) for at, week in enumerate(weeks)])
    words = pl.col([name for name in rows.columns if name.startswith(USERS)]).fill_null("unknown")
    numbered = rows.with_columns(pl.col(PERSON).replace_strict(places(rows[PERSON]), return_dtype=pl.Int32), words)
    return numbered.with_columns(_folded(name) for name in words_in(rows)).sort(WEEK, PERSON)


def places(user_ids: pl.Series) -> dict[str, int]:
    """The number of each distinct id, in an order that nobody knows who lacks some of them."""
    ids = user_ids.unique().sort().to_list()
    key = digest(["order", *ids])  # unlike the question's digest of the ids, this one is published nowhere
    hidden = sorted(ids, key=lambda each: hashlib.sha256(f"{key}{each}".encode()).digest())
    return {each: place for place, each in enumerate(hidden)}


def metrics_in(marks: pl.DataFrame) -> list[str]:
    """The metrics of a table of marks."""
    return [name for name in marks.columns if name not in {WEEK, PERSON} and not name.startswith((USERS, ITEMS))]


def words_in(marks: pl.DataFrame) -> list[str]:
    """The columns that hold a group of people."""
    return [name for name in marks.columns if name.startswith(USERS)]


def items_in(marks: pl.DataFrame) -> list[str]:
    """The columns that hold recall on a group of items."""
    return [name for name in marks.columns if name.startswith(ITEMS)]


def recall_by_items(lists: RankedLists, labels: Labels, groups: Mapping[str, Mask], k: int) -> dict[str, Floats]:
    """[U] recall at `k` on the labels of each group of items [I] alone; NaN for who has none there."""
    return {name: recall_at_k(lists, labels.only(mask), k) for name, mask in groups.items()}


def history_words(touches: np.ndarray) -> GroupLabels:
    """[U] `new` for who has no touch in training, `light` up to the median of the others, `heavy` above it."""
    known = touches[touches > 0]
    middle = np.median(known) if len(known) else 0
    return np.where(touches == 0, "new", np.where(touches <= middle, "light", "heavy"))


def _folded(name: str) -> pl.Expr:
    return pl.when(pl.col(PERSON).n_unique().over(name) < MIN_USERS).then(pl.lit(OTHER)).otherwise(name).alias(name)
