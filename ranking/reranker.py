"""Re-ranking: LightGBM's lambdarank over the features of a user and an item (Burges 2010; Ke et al. 2017).

Shapes: P pairs, F features.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import ReleaseCorrupt, UntrainableInput
from ranking.feature_arrays import Floats, Rows
from ranking.feature_names import COOCCURRENCE_NAMES, FEATURE_NAMES, FEATURE_SETS, IMPRESSION_NAMES
from ranking.position_bias import NOT_SHOWN
from ranking.retrieval_score import RETRIEVAL_SCORE, RetrievalPart
from ranking.side_by_side import EndIfStopped, side_by_side
from ranking.signals import SIGNALS, by_signal, signal_places
from ranking.training_pairs import LabelledPairs, with_inverse_propensities, with_places
from ranking.tree_ensemble import TreeEnsemble
from ranking.tree_shap import TreeContributions

if TYPE_CHECKING:
    import lightgbm as lgb

RETRIEVAL_SIGNAL = signal_places(FEATURE_NAMES)[RETRIEVAL_SCORE]
A_MODEL = re.compile(r"^(?=tree$)", re.MULTILINE)
"""Where a model of LightGBM's text begins."""


class RerankerConfig(BaseModel):
    """Small trees, averaged over seeds, beside retrieval's own score: a week's labels are few, and the NDCG of one
    model moves by 0.01 with its seed. Trees turn a score into steps; the score itself has the differences within one.

    The number of trees is set and not searched. A search over a few weeks found 4 trees for one night and 135 for the
    next. Both ranked worse than any fixed number between 100 and 400 at a learning rate of 0.05.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label_gains: tuple[float, ...] = Field((0, 1, 2), description="worth of label 0, 1 (click), 2 (save)")
    learning_rate: float = Field(0.1, gt=0, description="shrinkage of each tree")
    rounds: int = Field(80, ge=1, description="trees of a model")
    models: int = Field(10, ge=1, description="models of different seeds whose scores are averaged")
    retrieval_weight: float = Field(0.25, ge=0, description="weight of retrieval's own score beside the trees'")
    negative_share: float = Field(0.2, gt=0, le=1, description="share of the candidates without a label that train")
    leaves: int = Field(7, ge=2, description="leaves of a tree")
    min_leaf_pairs: int = Field(50, ge=1, description="pairs that a leaf needs")
    l2: float = Field(5.0, ge=0, description="L2 penalty on leaf values")
    feature_share: float = Field(0.5, gt=0, le=1, description="share of features that a tree may use")
    training_users: int = Field(500, ge=1, description="labelled users of a cutoff that train, at most; seeded")
    pair_share: float = Field(0.7, gt=0, le=1, description="share of pairs that a tree sees")
    truncation: int = Field(30, ge=1, description="places of the list that lambdarank cares for")
    bins: int = Field(63, ge=2, le=255, description="histogram bins of a feature")
    seed: int = Field(
        7, ge=0, description="seed of feature and pair sampling, each model adds one; unset: TASTEFEED_SEED"
    )
    threads: int = Field(
        1, ge=0, description="models that train at once; 0: one for each core; a night takes TASTEFEED_THREADS"
    )
    cooccurrence: Literal["auto", "never", "always"] = Field(
        "auto", description="item-transition features: where they help on the last label window of training, or so"
    )
    impressions: bool = Field(True, description="learn from what users were shown in a label week and left alone")
    position: Literal["off", "bias", "ipw"] = Field(
        "ipw", description="places of impressions: ignored, an addend in training, or inverse-propensity weights"
    )
    impression_features: Literal["auto", "never", "always"] = Field(
        "auto", description="features of impressions, where a lake has them: where they help, or so"
    )
    weight_limit: float = Field(10.0, ge=1, description="largest inverse-propensity weight of a pair")


class Reranker:
    """A fitted re-ranker."""

    def __init__(
        self, boosters: Sequence["lgb.Booster"], retrieval: RetrievalPart, names: Sequence[str] = FEATURE_NAMES
    ) -> None:
        """`names` are the features that the caller computes, one of `FEATURE_SETS`. Raises `ReleaseCorrupt` where a
        booster has other features."""
        for booster in boosters:
            _same_features(booster.feature_name(), names)
        self._boosters, self._retrieval, self._names = tuple(boosters), retrieval, tuple(names)

    def score(self, features: Floats, item_rows: Rows | None = None) -> Floats:
        """[P] scores, comparable within one user's candidates. With `item_rows` [P], pairs of one item are scored side
        by side: many users take half the time, and each score stays the same."""
        order = np.arange(len(features)) if item_rows is None else np.argsort(item_rows, kind="stable")
        return _mean(self._ensemble.scores(features, order)) + self._retrieval.of(features)

    def contributions(self, features: Floats) -> Floats:
        """[P, F] what each feature added to a pair's score (TreeSHAP, Lundberg et al. 2018)."""
        if not len(features):
            return np.zeros(features.shape, np.float32)
        added = self._tree_contributions(features)
        added[:, RETRIEVAL_SCORE] += self._retrieval.above_mean(features)
        return added

    def signal_contributions(self, features: Floats) -> Floats:
        """[P, S] what each of `SIGNALS` added: the sum over its features, from tables that are smaller."""
        if self._signal_shap is None or not len(features):
            return by_signal(self.contributions(features), self._names)
        added = self._mean_of_trees(self._signal_shap, features)[:, : len(SIGNALS)]
        added[:, RETRIEVAL_SIGNAL] += self._retrieval.above_mean(features)
        return added

    @property
    def names(self) -> tuple[str, ...]:
        """The features that it reads, in order."""
        return self._names

    @property
    def uses_cooccurrence(self) -> bool:
        """Whether it reads the co-occurrence features after those of `pair_features`."""
        return set(COOCCURRENCE_NAMES) <= set(self._names)

    @property
    def uses_impressions(self) -> bool:
        """Whether it reads the features of impressions last."""
        return set(IMPRESSION_NAMES) <= set(self._names)

    @property
    def rounds(self) -> int:
        """Trees that the scores are made of."""
        return sum(int(booster.num_trees()) for booster in self._boosters)

    def importances(self) -> dict[str, float]:
        """Each feature's share of the gain of all splits, largest first."""
        gains = np.sum([booster.feature_importance("gain") for booster in self._boosters], axis=0)
        shares = gains / max(gains.sum(), 1e-12)
        return {self._names[place]: float(shares[place]) for place in np.argsort(-shares, kind="stable")}

    def save(self, path: Path) -> None:
        """A line of JSON for retrieval's part, then LightGBM's own text, one model after the other."""
        texts = (booster.model_to_string() for booster in self._boosters)
        path.write_text("".join((self._retrieval.model_dump_json(), "\n", *texts)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Raises `ReleaseCorrupt` where it cannot be read or has other features."""
        import lightgbm as lgb  # noqa: PLC0415  half of the callers only want the config

        try:
            head, *texts = re.split(A_MODEL, path.read_text())
            boosters = [lgb.Booster(model_str=text) for text in texts or [""]]
            stored = tuple(boosters[0].feature_name())
            names = stored if stored in FEATURE_SETS else FEATURE_NAMES
            return cls(boosters, RetrievalPart.model_validate_json(head), names)
        except (lgb.basic.LightGBMError, ValueError):
            raise ReleaseCorrupt(f"{path}: LightGBM cannot read it; publish again or roll back") from None

    def _tree_contributions(self, features: Floats) -> Floats:
        if self._shap is None:  # LightGBM's own takes long, but has no limit
            every = [booster.predict(features, pred_contrib=True, num_threads=1) for booster in self._boosters]
            return _mean(every)[:, :-1]
        return self._mean_of_trees(self._shap, features)

    def _mean_of_trees(self, shap: TreeContributions, features: Floats) -> Floats:
        return np.asarray(shap.of_pairs(features) / len(self._boosters), np.float32)

    @cached_property
    def _shap(self) -> TreeContributions | None:
        return TreeContributions.of(self._ensemble, np.arange(len(self._names), dtype=np.int32))

    @cached_property
    def _signal_shap(self) -> TreeContributions | None:
        return TreeContributions.of(self._ensemble, signal_places(self._names))

    @cached_property
    def _ensemble(self) -> TreeEnsemble:
        return TreeEnsemble.of(self._boosters)


@dataclass(frozen=True)
class TrainedReranker:
    """What training gives: the model, and how it came to be."""

    reranker: Reranker
    curve: Sequence[float]
    """NDCG@20 after each round, on the training pairs."""


def train(
    pairs: Sequence[LabelledPairs], config: RerankerConfig, names: Sequence[str] = FEATURE_NAMES
) -> TrainedReranker:
    """Train on the pairs of label cutoffs. A share of the candidates without a label trains as well as all, and faster.

    Users of a cutoff without any label add nothing and are left out. Raises `UntrainableInput` where nothing is left.
    """
    useful = [each for each in (pairs_of.with_labels for pairs_of in pairs) if len(each.labels)]
    if not useful:
        raise UntrainableInput(f"none of {len(pairs)} label cutoffs has a user with a label; give more weeks of events")
    useful = with_places(useful)
    if config.position == "ipw":
        useful = with_inverse_propensities(useful, config.weight_limit)
    configs = [config.model_copy(update={"seed": config.seed + place}) for place in range(config.models)]
    models = side_by_side(
        lambda each, end_if_stopped: _trained(useful, each, names, end_if_stopped), configs, config.threads
    )
    curve = np.mean([curve for _, curve in models], axis=0)
    mean = np.concatenate([each.features[:, RETRIEVAL_SCORE] for each in useful]).mean()
    retrieval = RetrievalPart(weight=config.retrieval_weight, mean=float(mean))
    return TrainedReranker(Reranker([booster for booster, _ in models], retrieval, names), curve.tolist())


def _trained(
    pairs: Sequence[LabelledPairs], config: RerankerConfig, names: Sequence[str], end_if_stopped: EndIfStopped
) -> tuple["lgb.Booster", Sequence[float]]:
    """One model, and its NDCG@20 on its training pairs after each round."""
    import lightgbm as lgb  # noqa: PLC0415  see `Reranker.load`

    random = np.random.default_rng(config.seed)
    thinned = [each.thinned(config.negative_share, random) for each in pairs]
    places = _place_groups(thinned) if config.position == "bias" else None
    parameters = _parameters(config)
    examples = _dataset(thinned, places, parameters, names)
    history: dict[str, dict[str, list[float]]] = {}
    booster = lgb.train(
        parameters,
        examples,
        num_boost_round=config.rounds,
        valid_sets=[examples],
        valid_names=["training"],
        callbacks=[lgb.record_evaluation(history), lambda _: end_if_stopped()],
    )
    return booster, history["training"]["ndcg@20"]


def _parameters(config: RerankerConfig) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [20],
        "label_gain": list(config.label_gains),
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_leaf_pairs,
        "lambda_l2": config.l2,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.pair_share,
        "bagging_freq": 1,
        "max_bin": config.bins,
        "seed": config.seed,
        # the models share the cores; several threads would also add the gradients of a place in any order
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbose": -1,
    }


def _dataset(
    pairs: Sequence[LabelledPairs],
    places: NDArray[np.generic] | None,
    parameters: dict[str, Any],
    names: Sequence[str],
) -> "lgb.Dataset":
    import lightgbm as lgb  # noqa: PLC0415  see `Reranker.load`

    return lgb.Dataset(
        np.concatenate([each.features for each in pairs]),
        np.concatenate([each.labels for each in pairs]),
        group=np.concatenate([each.group_sizes for each in pairs]),
        weight=_joined([each.weights for each in pairs]),
        position=places,
        feature_name=list(names),
        params=parameters,
    )


def _place_groups(pairs: Sequence[LabelledPairs]) -> NDArray[np.generic] | None:
    """[P] groups of pairs; LightGBM learns an addend for each that scores do not have (as PAL, Guo et al. 2019)."""
    return _joined([None if each.shown is None else each.shown.places - NOT_SHOWN for each in pairs])


def _joined(parts: Sequence[NDArray[np.generic] | None]) -> NDArray[np.generic] | None:
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if given else None


def _mean(of_models: ArrayLike) -> Floats:
    return np.asarray(np.asarray(of_models).mean(axis=0), np.float32)


def _same_features(have: Sequence[str], names: Sequence[str]) -> None:
    want = list(names)
    if list(have) == want:
        return
    missing, unknown = [n for n in want if n not in have], [n for n in have if n not in want]
    raise ReleaseCorrupt(
        f"the re-ranker was trained on other features: it lacks {missing or 'none'}, and has {unknown or 'none'} "
        "that this version does not compute, or orders them otherwise; train again, or roll back"
    )
