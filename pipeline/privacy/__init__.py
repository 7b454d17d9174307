"""Opt-outs and erasure in the lake: the opt-out store with its backups, and the removal of users from stored data.

Must not import the server: `serving.privacy` applies opt-outs to requests and releases.
"""
