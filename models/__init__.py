"""Models that retrieve. Knows contracts alone; no Spark, no HTTP, no tracking."""
