"""Metrics, splits, slices, baselines, gates and statistics of experiments: whether a ranking is any good, and for whom.

Works on arrays and knows contracts alone: neither Spark nor torch nor HTTP nor a disk. The way through it:
`hold_out` asks an honest question, any method answers with `Lists`, `measure` marks the answer, `judge` and `require`
decide whether it may serve, and `metrics_table` shows it; `compared` pairs two experiments that answered one question.
The baselines are in `evaluation.baselines`.
"""

from evaluation.bootstrap import Interval, interval_over_weeks, mean_interval, paired_interval
from evaluation.differences import Comparison, Difference, compared
from evaluation.gate_config import GateConfig
from evaluation.gates import judge
from evaluation.lists import ItemSets, Labels, Lists, item_sets
from evaluation.measured import Measured, MeasuredWeek, mean_of_weeks, measure
from evaluation.report import markdown, metrics_table, rich_table, verdicts_table
from evaluation.slices import item_groups, item_table, slice_table, user_slices
from evaluation.splits import Catalogue, Events, Holdout, catalogue_from, events_from, hold_out, weekly_cuts
from evaluation.verdicts import Verdict, Verdicts, require

__all__ = [
    "Catalogue",
    "Comparison",
    "Difference",
    "Events",
    "GateConfig",
    "Holdout",
    "Interval",
    "ItemSets",
    "Labels",
    "Lists",
    "Measured",
    "MeasuredWeek",
    "Verdict",
    "Verdicts",
    "catalogue_from",
    "compared",
    "events_from",
    "hold_out",
    "interval_over_weeks",
    "item_groups",
    "item_sets",
    "item_table",
    "judge",
    "markdown",
    "mean_interval",
    "mean_of_weeks",
    "measure",
    "metrics_table",
    "paired_interval",
    "require",
    "rich_table",
    "slice_table",
    "user_slices",
    "verdicts_table",
    "weekly_cuts",
]
