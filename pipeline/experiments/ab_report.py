"""The report of an A/B experiment: clicks and saves of users after their first logged page, by arm.

Pages, clicks and saves do not count while a release was pinned or personalization was off: no user had an arm then.
The intervals use CUPED (Deng et al. 2013): the clicks and saves before the first page explain a part of the variance.
The sample-ratio check compares the numbers of users with the weights of the arms. The sequential interval holds at
every look at once, however often the report is made: an asymptotic confidence sequence (Waudby-Smith et al. 2024).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import polars as pl
from scipy.stats import t as student

from contracts import POSITIVE, Settings
from contracts import columns as c
from contracts.errors import BadSetting, DataMissing
from contracts.switches import SwitchName
from pipeline.experiments.mlflow_logger import DESCRIPTION, MlflowLogger
from pipeline.ingestion.landing_zone import usable_events
from pipeline.lake import Lake
from serving.ab_experiment import AbExperiment
from serving.exposure_files import FOLDER, require_key
from serving.privacy.opt_out_store import OptOutStore
from serving.privacy.pseudonyms import Pseudonym, pseudonyms
from serving.privacy.switch_store import Period, SwitchStore

ALPHA = 0.05
LEAST_RATIO_P = 0.001
"""Below this probability the numbers of users do not fit the weights of the arms."""
MLFLOW_EXPERIMENT = "ab-experiments"
OUTCOME, BEFORE, ARM, USER, RATIO = "positives", "positives_before", "arm", "user", "users"


@dataclass(frozen=True)
class ArmComparison:
    """An arm beside the control. Means are clicks and saves a user; the difference is adjusted by CUPED."""

    arm: str
    users: int
    control_users: int
    mean: float
    control_mean: float
    difference: float
    low: float
    high: float
    p_value: float
    sequential_low: float
    sequential_high: float
    ratio_p_value: float

    @property
    def ratio_fits(self) -> bool:
        """Whether the numbers of users fit the weights. If not, the arms differ in more than what was tested."""
        return self.ratio_p_value >= LEAST_RATIO_P

    def lines(self) -> list[str]:
        """As lines for a terminal."""
        control = f"control {self.control_mean:.3f} over {self.control_users:,}"
        means = f"mean {self.mean:.3f} over {self.users:,} users, {control}"
        interval = f"{self.difference:+.3f}, 95 % interval {self.low:+.3f} to {self.high:+.3f}, p {self.p_value:.4f}"
        warning = f"    the numbers of users do not fit the weights (p {self.ratio_p_value:.2g}): no result"
        return [
            f"  {self.arm}: {means}",
            f"    difference {interval}",
            f"    at every look {self.sequential_low:+.3f} to {self.sequential_high:+.3f}",
            *([] if self.ratio_fits else [warning]),
        ]


@dataclass(frozen=True)
class AbReport:
    """The arms of one experiment. `left_out` users have pages of several arms."""

    experiment: str
    left_out: int
    arms: tuple[ArmComparison, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "arms": [{**asdict(arm), "ratio_fits": arm.ratio_fits} for arm in self.arms]}

    def lines(self) -> list[str]:
        """As lines for a terminal."""
        heading = f"{self.experiment}: clicks and saves a user, {len(self.arms) + 1} arms"
        left_out = [f"  {self.left_out:,} users with several arms are left out"] if self.left_out else []
        return [heading, *(line for arm in self.arms for line in arm.lines()), *left_out]


def report_of(home: Lake, settings: Settings, experiment: AbExperiment, *, days_before: int = 28) -> AbReport:
    """The report on the lake's exposure log and events. Raises `DataMissing` without a logged page of the control and
    of another arm, `BadSetting` where the log has another key, and `OptOutStoreUnavailable`."""
    pseudonym, paused = pseudonyms(settings), pauses(settings)
    require_key(home.url, pseudonym)
    first = first_pages(home, experiment.name, paused)
    several = first.filter(pl.col("arms") > 1).height
    first = first.filter(pl.col("arms") == 1).drop("arms")
    users = outcomes(first, positives(home, pseudonym), days_before, paused)
    control, *others = [arm for arm in experiment.arms if arm.name in set(users[ARM])] or [experiment.arms[0]]
    if control.name != experiment.arms[0].name or not others:
        raise DataMissing(
            f"{home.url}: the exposure log has no users of {experiment.arms[0].name!r} and another arm of "
            f"{experiment.name!r}; serve with TASTEFEED_EXPERIMENT and TASTEFEED_EXPOSURE_LOG first"
        )
    weights = {arm.name: arm.weight for arm in experiment.arms}
    arms = tuple(compared(users, control.name, other.name, weights) for other in others)
    return AbReport(experiment.name, several, arms)


def pauses(settings: Settings) -> list[Period]:
    """When no user had an arm. Raises `OptOutStoreUnavailable`."""
    store = OptOutStore.of(settings)
    if not store.existed():
        return []
    try:
        switches = SwitchStore(store)
        return [*switches.periods(SwitchName.PINNED_RELEASE), *switches.periods(SwitchName.PERSONALIZATION)]
    finally:
        store.close()


def first_pages(home: Lake, experiment: str, paused: Sequence[Period] = ()) -> pl.DataFrame:
    """One row for each user of an experiment: the arm, when its first page was served, and the number of arms."""
    paths = home.fs.glob(f"{home.root}/{FOLDER}/*/*.parquet")
    if not paths:
        raise DataMissing(f"{home.url}: there is no exposure log; serve with TASTEFEED_EXPOSURE_LOG=true first")
    columns = [USER, "experiment", ARM, "served_at"]
    pages = pl.concat([_read(home, path, columns) for path in paths]).filter(pl.col("experiment") == experiment)
    return (
        pages.filter(_outside(paused, pl.col("served_at")))
        .group_by(USER)
        .agg(pl.col(ARM).first(), pl.col("served_at").min(), pl.col(ARM).n_unique().alias("arms"))
    )


def positives(home: Lake, pseudonym: Pseudonym) -> pl.DataFrame:
    """The clicks and saves of the landing zone, with pseudonyms."""
    events = usable_events(home).filter(pl.col(c.ACTION).is_in([action.value for action in POSITIVE]))
    row = [c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.ACTION, c.TIMESTAMP]  # an event may be in two batches
    found = events.select(row).unique().select(c.USER_ID, c.TIMESTAMP).collect()
    names = found[c.USER_ID].unique().to_list()
    known = pl.DataFrame(
        {c.USER_ID: names, USER: [pseudonym(name) for name in names]}, schema={c.USER_ID: pl.String, USER: pl.String}
    )
    return found.join(known, on=c.USER_ID).select(USER, c.TIMESTAMP)


def outcomes(first: pl.DataFrame, liked: pl.DataFrame, days_before: int, paused: Sequence[Period] = ()) -> pl.DataFrame:
    """One row a user: clicks and saves since the first page, and in the days before it."""
    at = pl.col(c.TIMESTAMP).dt.cast_time_unit("us").dt.replace_time_zone("UTC")
    joined = first.join(liked, on=USER).with_columns((at - pl.col("served_at")).alias("since"))
    counts = joined.group_by(USER).agg(
        ((pl.col("since") >= timedelta(0)) & _outside(paused, at)).sum().alias(OUTCOME),
        ((pl.col("since") < timedelta(0)) & (pl.col("since") >= -timedelta(days=days_before))).sum().alias(BEFORE),
    )
    return first.join(counts, on=USER, how="left").with_columns(pl.col(OUTCOME, BEFORE).fill_null(0).cast(pl.Int64))


def _outside(periods: Sequence[Period], at: pl.Expr) -> pl.Expr:
    """Whether an instant is in none of the periods."""
    within = [(at >= start) & ((at < end) if end else True) for start, end in periods]
    return ~pl.any_horizontal(*within, False)


def compared(users: pl.DataFrame, control: str, arm: str, weights: dict[str, float]) -> ArmComparison:
    """One arm beside the control."""
    both = users.filter(pl.col(ARM).is_in([control, arm])).select(ARM, OUTCOME, BEFORE)
    if both[OUTCOME].n_unique() == 1 or both[ARM].value_counts()["count"].min() == 1:
        raise DataMissing(
            f"{arm!r} cannot be compared with {control!r} yet: all users have as many clicks and saves since their "
            "first page, or an arm has one user; wait for a night that ingests the events, then report again"
        )
    results = _analyzed(both, control, {name: weights[name] for name in (control, arm)})
    mean, found = results[OUTCOME], results[RATIO]
    half = (mean.effect_size_ci_upper - mean.effect_size_ci_lower) / 2
    radius = sequential_radius(half / float(student.ppf(1 - ALPHA / 2, both.height - 2)), both.height)
    return ArmComparison(
        arm=arm,
        users=found.treatment,
        control_users=found.control,
        mean=_mean(both, arm),
        control_mean=_mean(both, control),
        difference=mean.effect_size,
        low=mean.effect_size_ci_lower,
        high=mean.effect_size_ci_upper,
        p_value=mean.pvalue,
        sequential_low=mean.effect_size - radius,
        sequential_high=mean.effect_size + radius,
        ratio_p_value=found.pvalue,
    )


def _analyzed(both: pl.DataFrame, control: str, weights: dict[str, float]) -> Any:
    try:
        from tea_tasting import Experiment, Mean, SampleRatio  # noqa: PLC0415  takes seconds to import
    except ImportError:
        raise BadSetting("the report needs the extra: pip install 'tastefeed[experiments]'") from None
    covariate = BEFORE if both[BEFORE].n_unique() > 1 else None
    metrics = {OUTCOME: Mean(OUTCOME, covariate=covariate, alpha=ALPHA), RATIO: SampleRatio(ratio=weights)}
    return Experiment(metrics, variant=ARM).analyze(both, control=control)


def _mean(users: pl.DataFrame, arm: str) -> float:
    return float(users.filter(pl.col(ARM) == arm)[OUTCOME].to_numpy().mean())


def sequential_radius(error: float, users: int, *, tightest_at: int = 10_000, alpha: float = ALPHA) -> float:
    """Half the width of the confidence sequence for an estimate with this standard error; narrowest at some number of
    users. It is wider than the interval of a single look."""
    spread = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / tightest_at
    scaled = users * spread + 1
    return error * math.sqrt(2 * scaled / (users * spread) * math.log(math.sqrt(scaled) / alpha))


def log_report(report: AbReport, settings: Settings, home: Lake, days_before: int) -> str:
    """Log a report as a run of MLflow; returns the run's id."""
    mlflow = MlflowLogger(settings, home, experiment=MLFLOW_EXPERIMENT)
    run = mlflow.start(report.experiment)
    mlflow.tags(run, {DESCRIPTION: "\n\n".join(line.strip() for line in report.lines())})
    mlflow.params(run, {"experiment": report.experiment, "days_before": days_before})
    for arm in report.arms:
        values = {name: value for name, value in asdict(arm).items() if name != ARM}
        mlflow.metrics(run, {f"{arm.arm}.{name}": value for name, value in values.items()})
    mlflow.end(run)
    return run


def _read(home: Lake, path: str, columns: Sequence[str]) -> pl.DataFrame:
    with home.fs.open(path, "rb") as file:
        return pl.read_parquet(file, columns=list(columns))
