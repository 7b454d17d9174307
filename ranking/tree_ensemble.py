"""The trees of several LightGBM models as arrays: the same scores in every bit, about ten times as fast.

Shapes: M models, T trees, N nodes of all trees, C columns, P pairs, F features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs, Rows, offsets_of
from contracts.errors import ReleaseCorrupt
from ranking.feature_arrays import Floats

if TYPE_CHECKING:
    import lightgbm as lgb

Tree = dict[str, Any]
LIMITS = np.finfo(np.float32)


@dataclass(frozen=True)
class TreeEnsemble:
    """A column is a feature with the value that stands for NaN there: below or above every threshold."""

    columns: Rows  # [C]
    nan_values: Floats  # [C]
    models: Longs  # [M + 1] offsets into the trees
    trees: Longs  # [T + 1] offsets into the nodes
    nodes: Rows  # [3, N] column, left and right child, as `tree_kernel` reads them
    thresholds: Floats  # [N]
    leaves: NDArray[np.float64]  # [N + T] those of a tree side by side
    counts: Longs  # [N] training pairs that came to each node
    leaf_counts: Longs  # [N + T]

    @classmethod
    def of(cls, boosters: Sequence["lgb.Booster"]) -> Self:
        """The trees of some models. Raises `ReleaseCorrupt` for a kind of split that tastefeed never trains."""
        models = [[info["tree_structure"] for info in booster.dump_model()["tree_info"]] for booster in boosters]
        trees = [tree for model in models for tree in model]
        splits = [sorted(_splits(tree), key=lambda split: int(split["split_index"])) for tree in trees]
        every = [split for tree in splits for split in tree]
        keys = [(int(split["split_feature"]), _nan_goes_left(split)) for split in every]
        columns = {key: place for place, key in enumerate(sorted(set(keys)))}
        left, right = ([_child(split[side]) for split in every] for side in ("left_child", "right_child"))
        return cls(
            np.array([feature for feature, _ in columns], np.int32),
            np.array([-np.inf if left else np.inf for _, left in columns], np.float32),
            offsets_of(np.array([len(model) for model in models], np.int64)),
            offsets_of(np.array([len(tree) for tree in splits], np.int64)),
            np.array([[columns[key] for key in keys], left, right], np.int32),
            _rounded_down(np.array([split["threshold"] for split in every], np.float64)),
            np.array([value for tree in trees for value in _of_leaves(tree, "leaf_value")], np.float64),
            np.array([split["internal_count"] for split in every], np.int64),
            np.array([count for tree in trees for count in _of_leaves(tree, "leaf_count")], np.int64),
        )

    def scores(self, features: Floats, order: Longs) -> NDArray[np.float64]:
        """[M, P] what each model predicts. Pairs that are alike should be neighbours in `order` [P]."""
        from ranking.tree_kernel import add_scores  # noqa: PLC0415  Numba takes a moment to import

        scores = np.zeros((len(self.models) - 1, len(features)))
        columns_FP = np.ascontiguousarray(features.T)
        if len(features) and len(self.trees) > 1:
            trees = (self.columns, self.nan_values, self.models, self.trees, self.nodes, self.thresholds, self.leaves)
            add_scores(columns_FP, order, *trees, scores)
        return scores


def _splits(tree: Tree) -> Iterator[Tree]:
    if "split_index" in tree:
        yield tree
        yield from _splits(tree["left_child"])
        yield from _splits(tree["right_child"])


def _of_leaves(tree: Tree, name: str) -> list[float]:
    """A value of each of a tree's leaves, in the order of their numbers; a tree without a split is one leaf."""
    if "split_index" not in tree:
        return [float(tree.get(name, 0))]
    children = [split[side] for split in _splits(tree) for side in ("left_child", "right_child")]
    numbered = {int(child["leaf_index"]): float(child[name]) for child in children if "leaf_index" in child}
    return [numbered[place] for place in range(len(numbered))]


def _child(tree: Tree) -> int:
    return int(tree["split_index"]) if "split_index" in tree else -1 - int(tree["leaf_index"])


def _nan_goes_left(split: Tree) -> bool:
    """LightGBM reads NaN as 0 in a feature that had none in training."""
    missing, kind = split["missing_type"], split["decision_type"]
    if kind != "<=" or missing not in {"None", "NaN"}:
        raise ReleaseCorrupt(f"a tree splits by {kind!r}, missing values as {missing!r}; publish again or roll back")
    return bool(split["default_left"]) if missing == "NaN" else bool(split["threshold"] >= 0)


def _rounded_down(thresholds: NDArray[np.float64]) -> Floats:
    """The largest float32 that is not above: a float32 feature is below or equal to both, or to neither."""
    near = np.clip(thresholds, LIMITS.min, LIMITS.max).astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)
