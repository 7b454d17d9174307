"""Retrieval models. Imports only `contracts`: no Spark, no HTTP, no tracking."""
