"""The two-tower retrieval: towers, losses, sampling corrections, training, export."""
