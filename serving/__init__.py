"""Serving: opt-outs, releases, the ANN index, the feed, the HTTP application and its page.

Must never import pyspark, airflow, mlflow or torch, so that a server starts in a second or two. Entry points:
`http.server.serve` runs the HTTP application, `feed.HomeFeed` and `batch_inference.recommend` compute lists,
`stores.event_store.EventStore` keeps posted events. `privacy` holds opt-outs and erasure, `releases` writes, publishes
and loads releases.
"""
