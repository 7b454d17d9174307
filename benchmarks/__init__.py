"""Benchmarks that anyone can rerun, with peers beside us."""
