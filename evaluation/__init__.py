"""Metrics, splits, segments, gates and statistics of experiments.

Works on arrays; imports `contracts` alone, and neither Spark nor torch nor HTTP nor a disk. The flow: `hold_out` builds
the evaluation split, methods return `RankedLists`, `measure` computes their metrics, `judge` and `require` apply the
gates, and `metrics_table` tabulates the means. `compared` pairs two experiments on the same evaluation data.
"""

from evaluation.bootstrap import Interval, interval_over_weeks, mean_interval, paired_interval
from evaluation.gate_config import GateConfig
from evaluation.gates import Verdict, Verdicts, judge, judge_alone, require
from evaluation.metrics_tables import markdown, metrics_table, rich_table, verdicts_table
from evaluation.paired_comparison import Comparison, Difference, compared
from evaluation.rankings import ItemSets, Labels, RankedLists, item_sets
from evaluation.results import MethodMetrics, WeekMetrics, macro_average, measure
from evaluation.segment_metrics import activity_segments, item_groups, item_table, segment_table
from evaluation.splits import Catalogue, Events, Holdout, catalogue_from, events_from, hold_out

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
    "MethodMetrics",
    "RankedLists",
    "Verdict",
    "Verdicts",
    "WeekMetrics",
    "activity_segments",
    "catalogue_from",
    "compared",
    "events_from",
    "hold_out",
    "interval_over_weeks",
    "item_groups",
    "item_sets",
    "item_table",
    "judge",
    "judge_alone",
    "macro_average",
    "markdown",
    "mean_interval",
    "measure",
    "metrics_table",
    "paired_interval",
    "require",
    "rich_table",
    "segment_table",
    "verdicts_table",
]
