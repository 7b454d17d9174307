"""`tastefeed bench retrieval --train … --test …`: the two-tower with its shipped defaults on data it has never seen.

Its flags can be written down in a TOML file, with the settings of each method.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.interaction_matrix import labels_of, read_named, read_train
from benchmarks.method_registry import OURS, Params
from benchmarks.profiling import FitJob, fit
from contracts import Settings
from contracts import columns as c
from contracts.atomic_files import replace_file, require_fillable
from contracts.errors import UnreadableInput
from evaluation import RankedLists
from evaluation.results import full_ranking
from evaluation.top_k import TopK
from pipeline.lake import parquet
from pipeline.stage_progress import StageProgress

METRICS, RANK, SCORE = "metrics.json", "rank", "score"


def run(
    train_file: Path, test_file: Path, *, k: int, out: Path, settings: Settings, params: Params, ordered: bool = False
) -> dict[str, float]:
    """Train, list the best `k` unseen items of every test user, measure; writes `top_k.parquet` and `metrics.json`.

    Train rows are ordered if they have a `timestamp`, or where `ordered` is true. `params` are fields of
    `TwoTowerConfig`. Raises `UnknownMethod` for a bad one, and `OSError` before the training where `out` cannot be
    written.
    """
    require_fillable(out)
    history, test = read_train(train_file, ordered=ordered, seed=settings.seed), read_named(test_file)
    user_ids = test[c.USER_ID].unique().sort()
    with StageProgress().shown(OURS):
        done = fit(FitJob(OURS, params, history, user_ids, k, settings.seed, settings.threads))
    labels = labels_of(test, user_ids, done.item_ids)
    measured = full_ranking(OURS, RankedLists(done.top.rows), labels, k, item_count=len(done.item_ids))
    counts = {"users": measured.users, **unreachable(history, test)}
    metrics = {**measured.means, **counts, "fit_seconds": round(done.fit_seconds, 2)}
    out.mkdir(parents=True, exist_ok=True)
    (out / "top_k.parquet").write_bytes(parquet(as_table(done.top, user_ids, done.item_ids)))
    write_metrics(out, {**metrics, "chosen": done.chosen})
    return metrics


def unreachable(history: pl.DataFrame, test: pl.DataFrame) -> dict[str, int]:
    """How much of a test is beyond a model: distinct pairs that train rows hold too, users without a train row, and
    items without one."""
    lacking = {name: test.join(history, on=name, how="anti")[name].n_unique() for name in (c.USER_ID, c.ITEM_ID)}
    repeated = test.unique([c.USER_ID, c.ITEM_ID]).join(history, on=[c.USER_ID, c.ITEM_ID], how="semi").height
    return {"repeated_pairs": repeated, "new_users": lacking[c.USER_ID], "new_items": lacking[c.ITEM_ID]}


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


Value = str | int | float | bool


class RetrievalConfig(BaseModel):
    """What `tastefeed bench retrieval` runs; a field is named as its flag, `[set.METHOD]` holds what `--set` would."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Path | None = Field(None, description="parquet: user_id, item_id, optional timestamp")
    test: Path | None = Field(None, description="parquet: user_id, item_id")
    ordered: bool = Field(False, description="the rows of train are in order of time")
    k: int = Field(20, ge=1, description="depth of the lists with train and test")
    data: Path | None = Field(None, description="folder of public data sets, instead of train and test")
    dataset: str = Field("", description="gowalla, ml-1m, citeulike-t, amazon-beauty or deskdrop")
    methods: tuple[str, ...] = Field((), description="methods; none: ours and every peer")
    trials: int = Field(20, ge=0, description="trials of each method's tuning; 0: defaults")
    set: dict[str, dict[str, Value]] = Field({}, description="settings of methods, held fixed")
    out: Path | None = Field(None, description="folder for metrics.json and the raw outputs")

    @property
    def flags(self) -> dict[str, Any]:
        """The fields that the file gives, as the command line takes them; without `set`."""
        given = self.model_dump(exclude_unset=True, exclude={"set"}, mode="json")
        return given | ({"methods": ",".join(self.methods)} if "methods" in given else {})

    @property
    def settings(self) -> list[str]:
        """`METHOD.FIELD=VALUE`, as `--set` takes them."""
        return [f"{name}.{field}={value}" for name, fields in self.set.items() for field, value in fields.items()]


def read_config(path: Path) -> RetrievalConfig:
    """The settings of the file. Raises `UnreadableInput` where it is no TOML, or a field is unknown or wrong."""
    try:
        return RetrievalConfig(**tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        field, fields = ".".join(map(str, first["loc"])), ", ".join(RetrievalConfig.model_fields)
        raise UnreadableInput(f"{path}: {field}: {first['msg']}; the fields are {fields}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise UnreadableInput(f"{path}: cannot be read as TOML ({wrong}); docs/benchmarks/ml-1m.toml is one") from None
