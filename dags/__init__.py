"""Airflow: the order and schedule of the stages. Parsing this package imports neither torch, pyspark nor pandas."""
