"""The night's two-tower as a method: trained by the function that the night's stage calls, listed from its vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import BaseModel

from benchmarks.interaction_matrix import EPOCH, InteractionMatrix, interaction_matrix
from benchmarks.retrieval_method import FittedMethod, RetrievalMethod, best
from benchmarks.summary_text import below_floor
from contracts import Action
from contracts import columns as c
from contracts.schemas import ITEMS
from evaluation.top_k import TopK
from models.two_tower import TwoTowerConfig

if TYPE_CHECKING:
    from optuna import Trial

    from models.two_tower import RunWith, TrainedTwoTower


class TwoTowerMethod(RetrievalMethod):
    """The two-tower of the night, here with nothing but ids. It selects its encoder inside its fit, so it has no other
    tuning; validation is each user's last interaction where rows have an order, else a random tenth."""

    name: ClassVar[str] = "two_tower"
    Config: ClassVar[type[BaseModel]] = TwoTowerConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Nothing: `fit` selects."""
        del trial
        return {}

    def fit(self, pairs: pl.DataFrame) -> "FittedTower":
        """Train; `threads` 0 is every core."""
        import torch  # noqa: PLC0415  listing the methods or running a peer need not wait for it

        from models.two_tower import train  # noqa: PLC0415

        if self.threads:
            torch.set_num_threads(self.threads)
        ordered = c.TIMESTAMP in pairs.columns
        history, config = pairs if ordered else undated(pairs), self.config
        if "validation" not in config.model_fields_set:
            config = config.model_copy(update={"validation": "last_interactions" if ordered else "random"})
        matrix = interaction_matrix(history)
        catalogue = catalogue_of(matrix.item_ids)
        tower = train(examples_of(history), catalogue, config=config, seed=self.seed, run_with=progress())
        report(tower)
        return FittedTower(tower, history, matrix)


@dataclass(frozen=True)
class FittedTower(FittedMethod):
    """A trained model and the histories that its user vectors are made of."""

    tower: "TrainedTwoTower"
    history: pl.DataFrame
    interactions: InteractionMatrix

    @property
    def item_ids(self) -> pl.Series:
        """The items of the training rows."""
        return self.interactions.item_ids

    @property
    def curves(self) -> dict[str, list[float]]:
        """Loss, learning rate and validation of each epoch; empty where closed forms were fitted alone."""
        names = ("loss", "learning_rate", "validation_recall", "validation_ndcg")
        return {name: [getattr(epoch, name) for epoch in self.tower.epochs] for name in names if self.tower.epochs}

    @property
    def chosen(self) -> dict[str, Any]:
        """The selected encoder with its settings, and what else was tried, beside baselines, on validation."""
        selection = self.tower.selection
        return {"encoder": self.tower.encoder_name, "selection": selection and selection.as_json()}

    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The best items of each user by inner product; unknown users get those of an empty history."""
        as_of, items = after(self.history), catalogue_of(self.item_ids)
        users_UV = self.tower.embed_users(examples_for(self.history, user_ids), items, as_of)
        items_VI = self.tower.embed_items(items, as_of).T
        seen = self.interactions.matrix[self.interactions.rows_of(user_ids)]
        return best(lambda rows: users_UV[rows] @ items_VI, seen, k)


def progress() -> "RunWith":
    """Prints every encoder that was tried, and every epoch."""
    from models.two_tower import RunWith  # noqa: PLC0415
    from pipeline.console import console  # noqa: PLC0415

    def on_trial(name: str, ndcg: float) -> None:
        console.print(f"two_tower: {name}, validation NDCG {ndcg:.4f}", markup=False)

    show: Callable[..., None] = console.print
    return RunWith(
        on_epoch=lambda epoch: show(
            f"two_tower: epoch {epoch.epoch} of {epoch.epochs}, loss {epoch.loss:.4f}, "
            f"validation NDCG {epoch.validation_ndcg:.4f}"
        ),
        on_trial=on_trial,
    )


def report(tower: "TrainedTwoTower") -> None:
    """Prints what was selected, and first of all which baseline validated better."""
    from pipeline.console import console  # noqa: PLC0415

    chosen = {"selection": tower.selection and tower.selection.as_json()}
    for sentence in [*below_floor("two_tower", chosen), f"two_tower: selected {tower.encoder_name}"]:
        console.print(sentence, markup=False)


def undated(pairs: pl.DataFrame) -> pl.DataFrame:
    """Rows without order: everything at the same instant."""
    return pairs.with_columns(pl.lit(EPOCH).alias(c.TIMESTAMP))


def examples_of(history: pl.DataFrame) -> pl.DataFrame:
    """The rows as `schemas.RETRIEVAL_EXAMPLES` without a cutoff: one row a user, oldest first, everything a click."""
    ordered = history.sort(c.TIMESTAMP, maintain_order=True)
    return ordered.group_by(c.USER_ID, maintain_order=True).agg(
        pl.col(c.ITEM_ID).alias("item_ids"),
        pl.lit(Action.CLICK.value).repeat_by(pl.len()).first().alias("actions"),
        pl.col(c.TIMESTAMP).alias("timestamps"),
        pl.lit(value=True).alias("trainable"),
    )


def examples_for(history: pl.DataFrame, user_ids: pl.Series) -> pl.DataFrame:
    """The examples of these users, in this order."""
    users, examples = pl.DataFrame({c.USER_ID: user_ids}), examples_of(history)
    return users.join(examples, on=c.USER_ID, how="left", maintain_order="left").with_columns(
        pl.col("item_ids", "actions", "timestamps").fill_null([]), pl.col("trainable").fill_null(value=True)
    )


def catalogue_of(item_ids: pl.Series) -> pl.DataFrame:
    """Items without metadata: the ids alone."""
    return pl.DataFrame({c.ITEM_ID: item_ids}).join(pl.DataFrame(schema=pl.Schema(ITEMS)), on=c.ITEM_ID, how="left")


def after(history: pl.DataFrame) -> datetime:
    """Just after the last event."""
    last: datetime = history.select(pl.col(c.TIMESTAMP).max()).item()
    return last + timedelta(seconds=1)
