"""Opt-outs: the store, what a request may read of a user, and erasure.

`OptOutService` sets and clears flags, `OptOutStore` keeps them, `ConsentGate` decides for each request, and
`erase_users` rewrites the releases. Must never import the HTTP application.
"""
