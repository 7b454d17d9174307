"""Releases: written by a night, verified, published, loaded and replaced while a server runs.

Must never import the opt-out store, the feed or the HTTP application.
"""
