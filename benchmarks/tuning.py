"""Peers are tuned alike: the same number of seeded trials, on validation, every trial written down.

The first trial is the method's defaults, so that on validation no tuned method is worse than untuned. Ours
chooses inside its fit.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import polars as pl

from benchmarks.datasets import Split
from benchmarks.interaction_matrix import labels_of
from benchmarks.method_registry import Params, build, method
from benchmarks.profiling import FitJob, fit
from contracts import columns as c
from contracts.errors import PeerFailed
from evaluation import MethodMetrics, RankedLists
from evaluation.fingerprint import digest_rows
from evaluation.results import full_ranking

STUDIES, PARAMS = "search.db", "params"
LEARNED = (optuna.trial.TrialState.COMPLETE,)
DONE = (*LEARNED, optuna.trial.TrialState.FAIL)
"""A trial in which a peer fails counts as one."""


@dataclass(frozen=True)
class Search:
    """What the tuning of all methods shares."""

    split: Split
    trials: int
    seed: int
    threads: int
    out: Path

    @property
    def metric(self) -> str:
        """What is maximised."""
        return f"ndcg_at_{self.split.k}"

    @cached_property
    def question(self) -> str:
        """A digest of the training rows and of the evaluated rows."""
        return digest_rows(self.split.validation_train)[:8] + digest_rows(self.split.validation)[:8]


@dataclass(frozen=True)
class Tuned:
    """The best of a search; `value` is its metric on validation, None where nothing was searched, and `values` are
    those of every trial."""

    params: dict[str, Any]
    trials: int
    value: float | None
    values: tuple[float, ...] = ()


def report_nothing(step: str) -> None:
    """Show no progress."""


def tune(name: str, fixed: Params, search: Search, report: Callable[[str], None] = report_nothing) -> Tuned:
    """The best of the first `trials` in the study's file, those of an earlier run counted; `fixed` fields stay.
    `report` is called before each trial.

    A method that has nothing to search, or chooses for itself inside its fit, is not tried. Raises `PeerFailed` where
    every trial failed.
    """
    if search.trials == 0 or not _tunable(name):
        return Tuned(dict(fixed), 0, None)
    study = _study(name, fixed, search)
    done = len(study.get_trials(deepcopy=False, states=DONE))
    if done < search.trials:
        if not done:
            study.enqueue_trial(method(name).Config().model_dump())
        study.sampler = optuna.samplers.TPESampler(seed=search.seed + done)

        def tried(trial: optuna.Trial) -> float:
            report(f"trial {trial.number + 1} of {search.trials}")
            return _trial(trial, name=name, fixed=fixed, search=search)

        study.optimize(tried, n_trials=search.trials - done, catch=PeerFailed)
    return _best_of(study, name, search.trials)


def _best_of(study: optuna.Study, name: str, trials: int) -> Tuned:
    ended = [trial for trial in study.get_trials(deepcopy=False, states=DONE)[:trials] if trial.state in LEARNED]
    if not ended:
        raise PeerFailed(f"{name}: none of its {trials} trials came to an end; leave it out with --methods")
    best = max(ended, key=lambda trial: trial.values[0])
    values = tuple(trial.values[0] for trial in ended)
    return Tuned(best.user_attrs[PARAMS], trials, best.values[0], values)


def _study(name: str, fixed: Params, search: Search) -> optuna.Study:
    search.out.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(
        storage=f"sqlite:///{(search.out / STUDIES).absolute()}",
        study_name=study_name(name, fixed, search),
        direction="maximize",
        load_if_exists=True,
    )


def study_name(name: str, fixed: Params, search: Search) -> str:
    """A search goes on only where the question is the same: data, seed and what was fixed."""
    rest = hashlib.sha256(json.dumps(dict(fixed), sort_keys=True).encode()).hexdigest()[:8]
    return f"{search.split.name} {name} seed {search.seed} fixed {rest} rows {search.question}"


def _tunable(name: str) -> bool:
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a failed trial is in the log of the search
    return bool(method(name).search(optuna.create_study().ask()))


def _trial(trial: optuna.Trial, *, name: str, fixed: Params, search: Search) -> float:
    params = {**method(name).search(trial), **fixed}
    config = build(name, params, seed=search.seed, threads=search.threads).config
    trial.set_user_attr(PARAMS, params)
    trial.set_user_attr("config", config.model_dump(mode="json"))
    measured, fit_seconds = validated(name, params, search)
    trial.set_user_attr("fit_seconds", round(fit_seconds, 3))
    return measured.means[search.metric]


def validated(name: str, params: Params, search: Search) -> tuple[MethodMetrics, float]:
    """The method fitted on `validation_train` and measured on `validation`, and how many seconds the fit took."""
    split, user_ids = search.split, search.split.validation[c.USER_ID].unique().sort()
    done = fit(FitJob(name, params, split.validation_train, user_ids, split.k, search.seed, search.threads))
    labels = labels_of(split.validation, user_ids, done.item_ids)
    measured = full_ranking(name, RankedLists(done.top.rows), labels, split.k, item_count=len(done.item_ids))
    return measured, done.fit_seconds


def search_log(out: Path) -> pl.DataFrame:
    """Every trial of every study in the file: `study, trial, state, value, fit_seconds, config`."""
    storage = f"sqlite:///{(out / STUDIES).absolute()}"
    rows = [
        {
            "study": name,
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value,
            "fit_seconds": trial.user_attrs.get("fit_seconds"),
            "config": json.dumps(trial.user_attrs.get("config")),
        }
        for name in sorted(optuna.get_all_study_names(storage))
        for trial in optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    ]
    kinds = {"study": pl.String, "trial": pl.Int64, "state": pl.String, "value": pl.Float64, "fit_seconds": pl.Float64}
    return pl.DataFrame(rows, schema={**kinds, "config": pl.String})
