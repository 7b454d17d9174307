"""SASRec (Kang & McAuley 2018, doi:10.1109/ICDM.2018.00035) by RecTools, in an environment of its own.

RecTools 0.19 cannot be installed beside tastefeed on Python 3.11: it wants numpy<2 (our lock has 2.4) and attrs<24
(Airflow's task SDK wants attrs>=24.2), and its pm-implicit takes the place of implicit. So this one peer runs in a
second Python (`pip install "rectools[torch]"`), named by `TASTEFEED_RECTOOLS_PYTHON`, which learns from our
rows and hands back lists; split and evaluator stay ours. The seconds of its fit hold the start of that process, and its
memory is the sum of both processes.
"""

import json
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.datasets import Split
from benchmarks.interaction_matrix import with_rows
from benchmarks.retrieval_method import FittedMethod, RetrievalMethod
from contracts import Settings
from contracts import columns as c
from contracts.errors import PeerFailed
from evaluation.rankings import PADDING
from evaluation.top_k import TopK

if TYPE_CHECKING:
    from optuna import Trial

IDS = {c.USER_ID: pl.String, c.ITEM_ID: pl.String}
SCRIPT = Path(__file__).with_name("sasrec_process.py")


class SasrecConfig(BaseModel):
    """What SASRec is; the names on the right are RecTools'."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_size: int = Field(128, ge=2, description="n_factors")
    layers: int = Field(2, ge=1, description="n_blocks")
    heads: int = Field(4, ge=1, description="n_heads; divides embedding_size")
    history_length: int = Field(200, ge=1, description="session_max_len")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout_rate")
    loss: Literal["softmax", "BCE", "gBCE", "sampled_softmax"] = "softmax"
    negatives: int = Field(1, ge=1, description="n_negatives of the sampled losses")
    learning_rate: float = Field(1e-3, gt=0, description="lr")
    batch_size: int = Field(128, ge=1)
    epochs: int = Field(30, ge=1)

    @property
    def model(self) -> dict[str, Any]:
        """As `SASRecModel` takes it."""
        return {
            "n_factors": self.embedding_size,
            "n_blocks": self.layers,
            "n_heads": self.heads,
            "session_max_len": self.history_length,
            "dropout_rate": self.dropout,
            "loss": self.loss,
            "n_negatives": self.negatives,
            "lr": self.learning_rate,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
        }


class SasrecMethod(RetrievalMethod):
    """A transformer over what the user liked so far."""

    name: ClassVar[str] = "sasrec"
    Config: ClassVar[type[BaseModel]] = SasrecConfig

    @staticmethod
    def search(trial: "Trial") -> dict[str, Any]:
        """Sizes, dropout, step and epochs, with the full softmax that the published comparison found best."""
        return {
            "embedding_size": trial.suggest_categorical("embedding_size", [64, 128, 256]),
            "layers": trial.suggest_int("layers", 1, 3),
            "dropout": trial.suggest_float("dropout", 0.1, 0.5),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
            "epochs": trial.suggest_int("epochs", 10, 100, log=True),
        }

    def refuses(self, split: Split) -> str:
        """Rows without order, or no Python with RecTools."""
        if not split.ordered:
            return "a sequential model has nothing to read in rows without any order in time"
        if not Settings().rectools_python:
            return "TASTEFEED_RECTOOLS_PYTHON names no Python of an environment with rectools[torch]"
        return ""

    def fit(self, pairs: pl.DataFrame) -> "FittedSasrec":
        """Start the other Python and let it learn."""
        fitted = FittedSasrec(Settings().rectools_python, pairs[c.ITEM_ID].unique().sort())
        train = fitted.folder / "train.csv"
        pairs.select(c.USER_ID, c.ITEM_ID).write_csv(train)
        fitted.ask({"train": str(train), "model": self.config.model, "seed": self.seed, "threads": self.threads})
        return fitted


class FittedSasrec(FittedMethod):
    """The other process, which lives as long as this."""

    def __init__(self, python: str, item_ids: pl.Series) -> None:
        """Start it; it has not learned yet."""
        self._item_ids = item_ids
        self._scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self._scratch.name)
        self._log = (self.folder / "log.txt").open("w+")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        command = [python, "-I", str(SCRIPT)]  # isolated: this folder's modules and our PYTHONPATH are not its own
        self._process = subprocess.Popen(command, text=True, cwd=self.folder, **pipes)  # type: ignore[call-overload]  # noqa: S603
        weakref.finalize(self, _end, self._process, self._log, self._scratch)

    @property
    def item_ids(self) -> pl.Series:
        """The items of the training rows."""
        return self._item_ids

    def ask(self, request: dict[str, Any]) -> None:
        """Hand over a request and wait for its end. Raises `PeerFailed` with the last line that the process logged."""
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended before the request: there will be no answer
        if not self._process.stdout.readline():
            self._log.seek(0)
            lines = self._log.read().strip().splitlines() or ["nothing"]
            raise PeerFailed(f"sasrec: the process of TASTEFEED_RECTOOLS_PYTHON ended and logged {lines[-1]}")

    def top_k(self, user_ids: pl.Series, k: int) -> TopK:
        """The best items of each user; an unknown user gets an empty list."""
        users, out = self.folder / "users.csv", self.folder / "lists.csv"
        pl.DataFrame({c.USER_ID: user_ids}).write_csv(users)
        self.ask({"users": str(users), "k": k, "out": str(out)})
        return top_of(pl.read_csv(out, schema_overrides=IDS), user_ids, self.item_ids, k)


def top_of(lists: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series, k: int) -> TopK:
    """`user_id, item_id, rank, score` as arrays."""
    named = with_rows(lists, user_ids, item_ids)
    shape = (len(user_ids), min(k, len(item_ids)))
    rows, scores = np.full(shape, PADDING, np.int32), np.full(shape, -np.inf, np.float32)
    places = named["user"].to_numpy(), named["rank"].to_numpy() - 1
    rows[places], scores[places] = named["item"].to_numpy(), named["score"].to_numpy()
    return TopK(rows, scores)


def _end(process: "subprocess.Popen[str]", log: Any, scratch: "tempfile.TemporaryDirectory[str]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    process.kill()
    process.wait()
    log.close()
    scratch.cleanup()
