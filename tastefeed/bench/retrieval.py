"""`tastefeed bench retrieval --train … --test …`: the two-tower with its shipped defaults on data it has never seen."""

import json
import time
from pathlib import Path

import numpy as np
import polars as pl

from tastefeed.bench.methods import OURS, Params, build
from tastefeed.bench.pairs import labels_of, read_pairs
from tastefeed.bench.retriever import TopK
from tastefeed.bench.two_tower import TwoTower, TwoTowerConfig
from tastefeed.contracts import Settings
from tastefeed.contracts import columns as c
from tastefeed.evaluation import Lists
from tastefeed.evaluation.protocols import full_ranking

RANK, SCORE = "rank", "score"


def run(
    train_file: Path, test_file: Path, *, k: int, out: Path, settings: Settings, params: Params
) -> dict[str, float]:
    """Train, list the best `k` unseen items of every test user, measure; writes `top_k.parquet` and `metrics.json`.

    `params` are fields of `TwoTowerConfig`. Raises `UnknownMethod` for a bad one.
    """
    seed, threads = settings.seed, settings.threads
    config: TwoTowerConfig = build(OURS, {"k": k, **params}, seed=seed, threads=threads).config
    history, test = read_pairs(train_file), read_pairs(test_file)
    user_ids = test[c.USER_ID].unique().sort()
    started = time.perf_counter()
    fitted = TwoTower(config, seed=seed, threads=threads).fit(history)
    fit_seconds = time.perf_counter() - started
    top = fitted.top_k(user_ids, k)
    labels = labels_of(test, user_ids, fitted.item_ids)
    measured = full_ranking(OURS, Lists(top.rows), labels, k, item_count=len(fitted.item_ids))
    metrics = {**measured.means, "users": measured.users, "fit_seconds": round(fit_seconds, 2)}
    out.mkdir(parents=True, exist_ok=True)
    as_table(top, user_ids, fitted.item_ids).write_parquet(out / "top_k.parquet")
    chosen = json.loads(fitted.tower.config.model_dump_json())
    (out / "metrics.json").write_text(json.dumps({**metrics, "chosen": chosen}, indent=1) + "\n")
    return metrics


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
