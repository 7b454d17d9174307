"""Baselines, each implemented once: for the night's gates, the floor of the two-tower's selection, and benchmarks.

`SCORERS` holds those that score every item of a matrix; `night_baselines` are those that a night is measured beside.
Must never import `models.two_tower`, the pipeline or Spark.
"""

from models.baselines.baseline_registry import SCORERS, Baseline, BaselineScorer, Recommender, night_baselines

__all__ = ["SCORERS", "Baseline", "BaselineScorer", "Recommender", "night_baselines"]
