"""Encoders of item ids, for items that have interactions in training. This package reads no titles, creators or ages.

A user is the sum of item vectors (`svd`, `ease`, `bag`), several exponentially decayed sums (`ridge`), or the state of
a causal transformer (`sequence`). All but the last two are order-free; `svd`, `ease` and `ridge` are closed forms.
"""
