"""Re-ranking: candidates, the LightGBM re-ranker, the diverse slate, and why each item is in it.

Works on arrays; must never import HTTP, Spark, torch or tracking, since the server carries it.
"""
