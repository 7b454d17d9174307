"""Experiments in MLflow: log the runs of nights and benchmarks, find them again, and compare two of them.

This package computes no metric of its own and must never log a user id.
"""
