"""The night's trained two-tower as a method, though titles, creators and ages are missing here."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel

from tastefeed.bench.pairs import Liked, dated, liked
from tastefeed.bench.peers.peer import Peer
from tastefeed.bench.retriever import TopK, best
from tastefeed.contracts import Action
from tastefeed.contracts import columns as c
from tastefeed.contracts.schemas import ITEMS
from tastefeed.models.two_tower import TwoTowerConfig

if TYPE_CHECKING:
    from optuna import Trial

    from tastefeed.models.two_tower import TrainedTwoTower


class TrainedTower(Peer):
    """The night's two-tower, which knows nothing here but who liked what and in which order."""

    name: ClassVar[str] = "trained_tower"
    Config: ClassVar[type[BaseModel]] = TwoTowerConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Size, step, temperature and dropout; epochs are chosen by the training itself."""
        return {
            "embedding_size": trial.suggest_categorical("embedding_size", [64, 128, 256]),
            "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
            "temperature": trial.suggest_float("temperature", 0.03, 0.3, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
            "item_id_dropout": trial.suggest_float("item_id_dropout", 0.0, 0.5),
        }

    def fit(self, pairs: pl.DataFrame) -> "FittedTower":
        """Train."""
        history = pairs if c.TIMESTAMP in pairs.columns else dated(pairs)
        known = liked(history)
        return FittedTower(trained(history, known.item_ids, self.config, self.seed, self.threads), history, known)


def trained(
    history: pl.DataFrame, item_ids: pl.Series, config: TwoTowerConfig, seed: int, threads: int
) -> "TrainedTwoTower":
    """Train; `threads` 0 is every core."""
    import torch  # noqa: PLC0415  who lists methods or runs a peer need not wait for it, nor hold it in memory

    from tastefeed.models.two_tower import train  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    return train(examples_of(history), catalogue_of(item_ids), config=config, seed=seed)


@dataclass(frozen=True)
class FittedTower:
    """A trained model and the histories that its user vectors are made of."""

    tower: "TrainedTwoTower"
    history: pl.DataFrame
    liked: Liked

    @property
    def item_ids(self) -> pl.Series:
        """The items of the training rows."""
        return self.liked.item_ids

    @property
    def curves(self) -> dict[str, list[float]]:
        """Every figure of each epoch: the loss, and what validation says."""
        told = [asdict(epoch) for epoch in self.tower.epochs]
        figures = [name for name, value in told[0].items() if isinstance(value, float)] if told else []
        return {name: [epoch[name] for epoch in told] for name in figures}

    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The best items of each user; whoever is unknown gets those of an empty history."""
        as_of, items = after(self.history), catalogue_of(self.item_ids)
        users_UD = self.tower.embed_users(asked(self.history, user_ids), items, as_of)
        items_ID = self.tower.embed_items(items, as_of)
        seen = self.liked.matrix[self.liked.rows_of(user_ids)]
        return best(lambda part: users_UD[part] @ items_ID.T, seen, k)


def examples_of(history: pl.DataFrame) -> pl.DataFrame:
    """The rows as `schemas.RETRIEVAL_EXAMPLES` without a cut: one row a user, oldest first, everything a click."""
    ordered = history.sort(c.TIMESTAMP, maintain_order=True)
    return ordered.group_by(c.USER_ID, maintain_order=True).agg(
        pl.col(c.ITEM_ID).alias("item_ids"),
        pl.lit(Action.CLICK.value).repeat_by(pl.len()).first().alias("actions"),
        pl.col(c.TIMESTAMP).alias("timestamps"),
        pl.lit(value=True).alias("trainable"),
    )


def asked(history: pl.DataFrame, user_ids: pl.Series) -> pl.DataFrame:
    """The examples of these users, in this order."""
    users, known = pl.DataFrame({c.USER_ID: user_ids}), examples_of(history)
    return users.join(known, on=c.USER_ID, how="left", maintain_order="left").with_columns(
        pl.col("item_ids", "actions", "timestamps").fill_null([]), pl.col("trainable").fill_null(value=True)
    )


def catalogue_of(item_ids: pl.Series) -> pl.DataFrame:
    """Items of which nothing is known but the id."""
    return pl.DataFrame({c.ITEM_ID: item_ids}).join(pl.DataFrame(schema=pl.Schema(ITEMS)), on=c.ITEM_ID, how="left")


def after(history: pl.DataFrame) -> datetime:
    """Just after the last event."""
    last: datetime = history.select(pl.col(c.TIMESTAMP).max()).item()
    return last + timedelta(seconds=1)
