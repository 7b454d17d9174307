"""Metrics, splits, slices, baselines, gates and statistics of experiments. Knows contracts alone."""
