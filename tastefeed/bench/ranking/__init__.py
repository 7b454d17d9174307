"""The ranking benchmark: the night's two stages beside retrieval alone and tuned peers, on a split in time.

`windows` cuts time, `two_stages` runs the night's own stages at the cuts, `benchmark` compares and writes.
"""
