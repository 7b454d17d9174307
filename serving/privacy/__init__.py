"""Opt-outs: the store, what a request may read of a user, and erasure.

`opt_out_service.OptOutService` sets and clears flags, `opt_out_store.OptOutStore` keeps them, `consent.ConsentGate`
decides for each request, and `release_erasure.erase_users` rewrites the releases. Must never import the feed or the
HTTP application.
"""
