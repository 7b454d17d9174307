"""TreeSHAP of a tree ensemble: what each feature added to a score, equal to LightGBM's `pred_contrib` but for rounding.

A leaf adds its value times a product over the features of its path: 1 or 0 where a feature is known, and the share of
the training pairs that take the path's sides where it is not. The Shapley value of such a product is an integral over
the probability that a feature is known (Owen 1972). Its integrand is a polynomial, so Gauss-Legendre quadrature is
exact (as in Linear TreeSHAP, Yu et al. 2022).

A tree of few splits has few results. They are computed once, for each choice of sides at its nodes (as in Fast
TreeSHAP, Yang 2021). A page of 50 items then takes a fortieth of LightGBM's time.

Shapes: T trees, L leaves of all trees, E features of all paths, K points of the quadrature, P pairs, F features, C
columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from contracts.csr import Doubles, Longs, Rows, offsets_of
from ranking.feature_arrays import Floats
from ranking.tree_ensemble import TreeEnsemble

MOST_SPLITS = 8
"""Splits of a tree whose results are computed in advance: their number doubles with each split."""


@dataclass
class PathFeature:
    """One feature of a leaf's path, which several nodes may split by."""

    mask: int = 0  # bits of those nodes
    sides: int = 0  # those bits where the path goes right
    share: float = 1.0  # of the training pairs at those nodes that take the path's sides


Path = dict[int, PathFeature]


@dataclass(frozen=True)
class Tree:
    """One tree of an ensemble."""

    paths: list[Path]  # of each leaf
    splits: int
    columns: list[int]
    """The distinct columns of the features that it splits by."""


@dataclass(frozen=True)
class TreeContributions:
    """What each column of a tree adds, for each choice of sides at its nodes. A column is a feature, or a group of
    them."""

    ensemble: TreeEnsemble
    width: int  # C
    columns: Rows  # the distinct columns of each tree
    column_offsets: Longs  # [T + 1] into `columns`
    table_offsets: Longs  # [T + 1] into `tables`
    tables: Floats  # for each tree [2 ** splits, its columns]

    @classmethod
    def of(cls, ensemble: TreeEnsemble, column_of: Rows) -> Self | None:
        """Compute the tables; none where a tree has too many splits. `column_of` [F] is the column of each feature."""
        if np.diff(ensemble.trees).max(initial=0) > MOST_SPLITS:
            return None
        trees = [_tree(ensemble, tree, column_of) for tree in range(len(ensemble.trees) - 1)]
        column_offsets = offsets_of(np.array([len(tree.columns) for tree in trees], np.int64))
        table_offsets = offsets_of(np.array([len(tree.columns) << tree.splits for tree in trees], np.int64))
        tables = np.zeros(table_offsets[-1], np.float32)
        if len(tables):
            _fill(tables, table_offsets, column_offsets, ensemble, trees, column_of)
        columns = np.array([column for tree in trees for column in tree.columns], np.int32)
        return cls(ensemble, int(column_of.max(initial=-1)) + 1, columns, column_offsets, table_offsets, tables)

    def of_pairs(self, features: Floats) -> Doubles:
        """[P, C] what each column adds to the sum of all trees, for `features` [P, F]."""
        from ranking.tree_shap_kernel import add_contributions  # noqa: PLC0415  Numba takes a moment to import

        added, trees = np.zeros((self.width, len(features))), self.ensemble
        if len(features) and len(self.columns):
            nodes = (trees.columns, trees.nan_values, trees.trees, trees.nodes, trees.thresholds)
            tables = (self.columns, self.column_offsets, self.table_offsets, self.tables)
            add_contributions(np.ascontiguousarray(features.T), *nodes, *tables, added)
        return added.T


def _tree(ensemble: TreeEnsemble, tree: int, column_of: Rows) -> Tree:
    start, end = ensemble.trees[tree], ensemble.trees[tree + 1]
    paths = dict(_paths(ensemble, start, end, tree))
    columns = sorted({int(column_of[feature]) for path in paths.values() for feature in path})
    return Tree([paths[leaf] for leaf in range(len(paths))], int(end - start), columns)


def _paths(ensemble: TreeEnsemble, start: int, end: int, tree: int) -> Iterator[tuple[int, Path]]:
    """Each leaf of a tree with its path."""
    features, children = ensemble.columns[ensemble.nodes[0, start:end]], ensemble.nodes[1:, start:end]
    counts, leaf_counts = ensemble.counts[start:end], ensemble.leaf_counts[start + tree : end + tree + 1]
    waiting: list[tuple[int, Path]] = [(0 if end > start else -1, {})]
    while waiting:
        node, path = waiting.pop()
        if node < 0:
            yield -1 - node, path
            continue
        feature = int(features[node])
        for side, child in enumerate(children[:, node].tolist()):
            share = (counts[child] if child >= 0 else leaf_counts[-1 - child]) / counts[node]
            before = path.get(feature, PathFeature())
            after = PathFeature(before.mask | 1 << node, before.sides | side << node, before.share * share)
            waiting.append((child, {**path, feature: after}))


def _fill(
    tables: Floats,
    table_offsets: Longs,
    column_offsets: Longs,
    ensemble: TreeEnsemble,
    trees: list[Tree],
    column_of: Rows,
) -> None:
    from ranking.tree_shap_kernel import fill_tables  # noqa: PLC0415  see `TreeContributions.of_pairs`

    paths = [path for tree in trees for path in tree.paths]
    places = [tree.columns.index(column_of[feature]) for tree in trees for path in tree.paths for feature in path]
    steps = [step for path in paths for step in path.values()]
    points, weights = np.polynomial.legendre.leggauss((max(map(len, paths)) + 1) // 2)
    known, shares = (points + 1) / 2, np.array([step.share for step in steps])[:, None]
    factors = np.stack([shares * (1 - known), shares * (1 - known) + known])
    fill_tables(
        ensemble.trees,
        ensemble.leaves,
        offsets_of(np.array([len(path) for path in paths], np.int64)),
        np.array(places, np.int64),
        np.array([[step.mask, step.sides] for step in steps], np.int64).T.copy(),
        factors,
        np.stack([0 - shares, 1 - shares]) / factors,
        weights / 2,
        column_offsets,
        table_offsets,
        tables,
    )
