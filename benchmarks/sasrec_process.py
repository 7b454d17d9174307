"""SASRec of RecTools as a process of its own: it learns from a CSV file, then answers requests for lists.

Run by the Python of an environment with `rectools[torch]`, so it imports nothing of tastefeed. It reads one JSON object
a line from stdin and answers with one a line: first the settings and the file to learn from, then requests for lists.
"""

import json
import os
import sys
import threading
import time
from typing import Any, TextIO

import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def ids(path: str) -> pd.DataFrame:
    """A table of ids; `NA` is one as well. Not parquet: pyarrow and RecTools want different numpys."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def learned(request: dict[str, Any]) -> tuple[SASRecModel, Dataset]:
    """The model fitted on the rows of `request["train"]`, whose order is their time."""
    if request["threads"]:
        torch.set_num_threads(request["threads"])
    seed_everything(request["seed"])
    pairs = ids(request["train"])
    clock = pd.to_datetime(pd.RangeIndex(len(pairs)), unit="s")
    dataset = Dataset.construct(pairs.assign(**{Columns.Weight: 1.0, Columns.Datetime: clock}))
    return SASRecModel(**request["model"], deterministic=True).fit(dataset), dataset


def answer(model: SASRecModel, dataset: Dataset, request: dict[str, Any]) -> None:
    """Write `user_id, item_id, rank, score` of the requested users; unknown ones have no rows."""
    users = ids(request["users"])[Columns.User].to_numpy()
    lists = model.recommend(users, dataset, request["k"], filter_viewed=True, on_unsupported_targets="ignore")
    lists.to_csv(request["out"], index=False)


def serve(requests: TextIO, answers: TextIO) -> None:
    """Learn once, then answer until the requests end."""
    model, dataset = learned(json.loads(requests.readline()))
    print(json.dumps({"learned": True}), file=answers, flush=True)
    for line in requests:
        answer(model, dataset, json.loads(line))
        print(json.dumps({"answered": True}), file=answers, flush=True)


def end_with(parent: int) -> None:
    """Ends with the parent process. A closed stdin would end it too, but it is not read during a training."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print as they like
    serve(sys.stdin, answers)
