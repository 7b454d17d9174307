"""Airflow: which stages run in which order, and when. Parsing it imports neither torch, pyspark nor pandas."""
