"""`tastefeed bench retrieval --train … --test …`: the two-tower with its shipped defaults on data it has never seen."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.interaction_matrix import labels_of, read_named, read_train
from benchmarks.method_registry import OURS, Params
from benchmarks.profiling import Job, fit
from contracts import Settings
from contracts import columns as c
from contracts.atomic_files import replace_file
from evaluation import RankedLists
from evaluation.results import full_ranking
from evaluation.top_k import TopK

METRICS, RANK, SCORE = "metrics.json", "rank", "score"


def run(
    train_file: Path, test_file: Path, *, k: int, out: Path, settings: Settings, params: Params, ordered: bool = False
) -> dict[str, float]:
    """Train, list the best `k` unseen items of every test user, measure; writes `top_k.parquet` and `metrics.json`.

    Train rows are ordered if they have a `timestamp`, or where `ordered` is true. `params` are fields of
    `TwoTowerConfig`. Raises `UnknownMethod` for a bad one.
    """
    history, test = read_train(train_file, ordered=ordered, seed=settings.seed), read_named(test_file)
    user_ids = test[c.USER_ID].unique().sort()
    done = fit(Job(OURS, params, history, user_ids, k, settings.seed, settings.threads))
    labels = labels_of(test, user_ids, done.item_ids)
    measured = full_ranking(OURS, RankedLists(done.top.rows), labels, k, item_count=len(done.item_ids))
    metrics = {**measured.means, "users": measured.users, "fit_seconds": round(done.fit_seconds, 2)}
    out.mkdir(parents=True, exist_ok=True)
    as_table(done.top, user_ids, done.item_ids).write_parquet(out / "top_k.parquet")
    write_metrics(out, {**metrics, "chosen": done.chosen})
    return metrics


def write_metrics(out: Path, run: Mapping[str, Any]) -> None:
    """`metrics.json`, written atomically and last, so that the files it describes exist."""
    replace_file(out / METRICS, (json.dumps(run, indent=1) + "\n").encode())


def as_table(top: TopK, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """`user_id, item_id, rank, score`; ranks count from 1."""
    users, places = np.nonzero(top.rows >= 0)
    return pl.DataFrame(
        {
            c.USER_ID: user_ids.gather(users),
            c.ITEM_ID: item_ids.gather(top.rows[users, places]),
            RANK: (places + 1).astype(np.int32),
            SCORE: top.scores[users, places],
        }
    )
