"""The ranking benchmark: the night's two stages beside retrieval alone and tuned peers, on a split in time.

`windows` cuts time, `world` holds the tables of the cuts, `two_stages` teaches and lists, `benchmark` compares.
"""
