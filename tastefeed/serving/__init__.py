"""Opt-outs, releases, indexes, the feed, the HTTP app and its page.

Must never import pyspark, airflow, mlflow or torch: it starts in a second or two.
"""
