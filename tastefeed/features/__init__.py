"""Spark: events become sessions, interactions, features and training rows, `DataFrame -> DataFrame`, time an argument.

Knows no disk, no clock, and no room but contracts.
"""
