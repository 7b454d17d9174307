"""Our own retrieval as a method: the memory two-tower, which chooses by validation what it is."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tastefeed.bench.pairs import Liked, liked
from tastefeed.bench.peers.peer import Peer
from tastefeed.bench.retriever import TopK, best
from tastefeed.contracts import columns as c

if TYPE_CHECKING:
    from optuna import Trial

    from tastefeed.models.two_tower.memory import Histories, MemoryTwoTower


class TwoTowerConfig(BaseModel):
    """What the choice may know beforehand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(20, ge=1, description="depth of the lists that the choice looks at")
    readouts: str = Field("", description="ways to read a person that may be tried, comma-separated; empty: all")
    without: str = Field("", description="tricks that are left out, comma-separated")
    minutes: float | None = Field(None, gt=0, description="of two cores that training may take; None: as shipped")


class TwoTower(Peer):
    """The memory two-tower. Its own search on a part of the training rows is its tuning, so there is no other."""

    name: ClassVar[str] = "two_tower"
    Config: ClassVar[type[BaseModel]] = TwoTowerConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Nothing: `fit` chooses."""
        del trial
        return {}

    def fit(self, pairs: pl.DataFrame) -> "FittedTower":
        """Choose and fit; `threads` 0 is every core."""
        import torch  # noqa: PLC0415  who lists methods or runs a peer need not wait for it, nor hold it in memory

        from tastefeed.models.two_tower.memory import READOUTS, fit_memory  # noqa: PLC0415

        if self.threads:
            torch.set_num_threads(self.threads)
        known = liked(pairs)
        histories = in_rows(pairs, known)
        asked = self.config.model_dump(exclude={"readouts", "without"}, exclude_none=True)
        asked |= {"readouts": listed(self.config.readouts) or READOUTS, "without": listed(self.config.without)}
        tower = fit_memory(histories, ordered=c.TIMESTAMP in pairs.columns, seed=self.seed, **asked)
        return FittedTower(tower, histories, known)


def listed(words: str) -> list[str]:
    """Comma-separated words."""
    return [word for word in words.split(",") if word]


def in_rows(history: pl.DataFrame, known: Liked) -> "Histories":
    """Rows of users and items, oldest first, as histories; the last one is the empty one of whoever is unknown."""
    from tastefeed.models.two_tower.memory import histories_of  # noqa: PLC0415  see above

    items = pl.DataFrame({c.ITEM_ID: known.item_ids}).with_row_index("item")
    item_rows = history.join(items, on=c.ITEM_ID, how="left", maintain_order="left")["item"].cast(pl.Int64).to_numpy()
    user_rows = known.rows_of(history[c.USER_ID]).astype(np.int64)
    return histories_of(user_rows, item_rows, users=known.matrix.shape[0], items=len(items))


@dataclass(frozen=True)
class FittedTower:
    """A fitted model and the histories that its user vectors are made of."""

    tower: "MemoryTwoTower"
    histories: "Histories"
    liked: Liked

    @property
    def item_ids(self) -> pl.Series:
        """The items of the training rows."""
        return self.liked.item_ids

    @property
    def curves(self) -> dict[str, list[float]]:
        """Loss, step and validation of each epoch, where what was chosen is trained."""
        told = [asdict(epoch) for epoch in self.tower.epochs]
        return {name: [epoch[name] for epoch in told] for name in ("loss", "learning_rate", "ndcg") if told}

    @property
    def chosen(self) -> dict[str, Any]:
        """The readout, and what the choice made of the other defaults of the memory two-tower."""
        return self.tower.config.chosen

    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The best items of each user; whoever is unknown gets the most popular ones."""
        rows = self.liked.rows_of(user_ids)
        asked, every = self.histories.take(rows.astype(np.int64)), np.arange(len(rows))
        return best(lambda part: self.tower.scores(asked.take(every[part])), self.liked.matrix[rows], k)
