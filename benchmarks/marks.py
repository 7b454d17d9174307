"""What a benchmark's method keeps so that it can be compared: marks of each asked user, groups, and the question."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.datasets import Split
from benchmarks.pairs import liked
from contracts import columns as c
from evaluation import Labels, MethodMetrics, RankedLists
from evaluation.anonymized_metrics import history_words, nameless, recall_by_items, week_marks
from evaluation.fingerprint import EvaluationFingerprint, digest, digest_rows
from evaluation.rankings import Mask
from evaluation.segment_metrics import popular_items


def question(split: Split, user_ids: pl.Series) -> EvaluationFingerprint:
    """What every method of the benchmark is asked: train and test rows in their order, users, and depth."""
    return EvaluationFingerprint(
        split.name, digest_rows(split.train), digest_rows(split.test), digest(user_ids), split.k
    )


def bench_marks(
    split: Split, user_ids: pl.Series, measured: MethodMetrics, lists: RankedLists, labels: Labels
) -> pl.DataFrame:
    """`nameless` marks: users by their number of distinct training items, recall on the popular fifth and the tail."""
    users = {"history": history_words(touches(split, user_ids))}
    items = recall_by_items(lists, labels, popularity_groups(split, labels), split.k)
    return nameless([week_marks(user_ids, measured.per_user, users=users, items=items)])


def touches(split: Split, user_ids: pl.Series) -> NDArray[np.int64]:
    """[U] distinct training items of each user."""
    counts = split.train.group_by(c.USER_ID).agg(pl.col(c.ITEM_ID).n_unique().cast(pl.Int64).alias("items"))
    asked = pl.DataFrame({c.USER_ID: user_ids}).join(counts, on=c.USER_ID, how="left", maintain_order="left")
    found: NDArray[np.int64] = asked["items"].fill_null(0).to_numpy()
    return found


def popularity_groups(split: Split, labels: Labels) -> dict[str, Mask]:
    """The fifth of the training items that most users liked, and the rest; what training lacks is in neither."""
    popular = popular_items(liked(split.train).counts)
    beyond = np.zeros(max(0, int(labels.item_rows.max(initial=-1)) + 1 - len(popular)), dtype=bool)
    return {"popular": np.append(popular, beyond), "tail": np.append(~popular, beyond)}
