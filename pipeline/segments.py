"""Which groups the measured people belong to: tenure, history, language, region. Groups, never people, are told of."""

import numpy as np
import polars as pl

from contracts import columns as c
from evaluation import Holdout, user_slices
from evaluation.segment_metrics import SMALLEST, GroupLabels, folded
from pipeline.evaluation_data import EvaluationData
from pipeline.feature_assembly import CatalogSnapshot


def user_segments(landed: CatalogSnapshot, questions: EvaluationData, holdout: Holdout) -> dict[str, GroupLabels]:
    """The group [U] of each of the holdout's users, by the slice's name; small groups are together."""
    ids = pl.DataFrame({c.USER_ID: pl.Series(questions.user_ids[holdout.user_rows], dtype=pl.String)})
    people = ids.join(landed.users, on=c.USER_ID, how="left", maintain_order="left")
    stated, read = _primary(people[c.LANGUAGE]), languages_read(landed, holdout)
    slices = {
        **user_slices(holdout),
        "language": pl.select(pl.coalesce(stated, read)).to_series().to_numpy(),
        "region": people[c.REGION].to_numpy(),
    }
    return {name: folded(groups, SMALLEST) for name, groups in slices.items()}


def languages_read(landed: CatalogSnapshot, holdout: Holdout) -> pl.Series:
    """[U] the language in which each user took up most items before the cut, of equals the first by name."""
    liked = holdout.history.where(holdout.history.gains > 0)
    taken_up = pl.DataFrame(
        {"user": liked.user_rows, "language": _primary(landed.items[c.LANGUAGE]).gather(liked.item_rows)}
    )
    most = (
        taken_up.drop_nulls()
        .group_by("user", "language")
        .len()
        .sort("len", "language", descending=[True, False])
        .unique("user", keep="first", maintain_order=True)
    )
    asked = pl.DataFrame({"user": holdout.user_rows.astype(np.int32)})
    return asked.join(most, on="user", how="left", maintain_order="left")["language"]


def _primary(languages: pl.Series) -> pl.Series:
    """`pt` of `pt-BR`."""
    return languages.cast(pl.String).str.split("-").list.first().str.to_lowercase()
