"""What ours and every peer must do alike, and the closed form of EASE against its definition."""

import sys

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from benchmarks.datasets import Split
from benchmarks.interaction_matrix import dated
from benchmarks.method_registry import METHODS, build, parsed
from benchmarks.profiling import FitJob, fit
from benchmarks.sasrec_method import top_of
from contracts.errors import PeerFailed, UnknownMethod
from models.baselines.item_similarity import ease_weights

PEERS = [name for name in METHODS if name not in ("two_tower", "sasrec")]
FAST = {"ials": {"embedding_size": 2}, "bpr": {"embedding_size": 8}}


def blocks() -> pl.DataFrame:
    """Forty users: even ones like four of five even items, odd ones of odd ones; u0 lacks i8, u1 lacks i1."""
    rows = [(f"u{user}", f"i{2 * ((user + step) % 5) + user % 2}") for step in range(4) for user in range(40)]
    return pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")


def split(*, ordered: bool = True) -> Split:
    return Split("blocks", *[blocks()] * 4, ordered=ordered, k=3, protocol="none")


def fitted(name: str):
    return build(name, FAST.get(name, {}), seed=7, threads=1).fit(blocks())


@pytest.mark.parametrize("name", PEERS)
class TestPeer:
    def test_training_items_are_masked_and_what_is_left_is_listed(self, name: str) -> None:
        users = pl.Series(["u0", "u1"])
        top = fitted(name).top_k(users, 50)
        assert (top.rows >= 0).sum(axis=1).tolist() == [6, 6]  # of ten items four are known
        listed = fitted(name).item_ids.gather(top.rows[0][:6]).to_list()
        assert not set(listed) & {"i0", "i2", "i4", "i6"}

    def test_scores_fall_and_the_same_seed_gives_the_same_lists(self, name: str) -> None:
        users = blocks()["user_id"].unique().sort()
        one, two = fitted(name).top_k(users, 5), fitted(name).top_k(users, 5)
        assert (np.diff(one.scores, axis=1) <= 0).all()
        np.testing.assert_array_equal(one.rows, two.rows)

    def test_an_unknown_user_gets_a_list_in_its_own_place(self, name: str) -> None:
        users = pl.Series(["u1", "unknown", "u0"])
        top = fitted(name).top_k(users, 3)
        assert (top.rows[1] >= 0).all()
        np.testing.assert_array_equal(top.rows[[0, 2]], fitted(name).top_k(pl.Series(["u1", "u0"]), 3).rows)


@pytest.mark.parametrize("name", ["item_knn", "ials", "ease"])
def test_a_user_is_shown_the_missing_item_of_their_block_first(name: str) -> None:
    top = fitted(name).top_k(pl.Series(["u0", "u1"]), 1)
    assert fitted(name).item_ids.gather(top.rows[:, 0]).to_list() == ["i8", "i1"]


def test_ease_is_the_regression_of_each_item_on_the_others() -> None:
    x, strength = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0]], dtype=float), 2.0
    weights = ease_weights(csr_matrix(x, dtype=np.float32), strength)
    for item in range(3):
        others = [each for each in range(3) if each != item]
        gram = x[:, others].T @ x[:, others] + strength * np.eye(2)
        np.testing.assert_allclose(weights[others, item], np.linalg.solve(gram, x[:, others].T @ x[:, item]), rtol=1e-5)
    assert np.diag(weights).tolist() == [0, 0, 0]


def test_ease_states_why_a_large_catalogue_is_left_out() -> None:
    assert build("ease", {"most_items": 9}, seed=7, threads=1).refuses(split()).startswith("10 items, and the inverse")


@pytest.mark.parametrize(
    ("ordered", "reason"), [(False, "nothing to read in rows without any order"), (True, "TASTEFEED_RECTOOLS_PYTHON")]
)
def test_sasrec_states_why_it_is_left_out(*, ordered: bool, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASTEFEED_RECTOOLS_PYTHON", raising=False)
    assert reason in build("sasrec", {}, seed=7, threads=1).refuses(split(ordered=ordered))


def test_sasrec_lists_come_back_to_the_places_of_their_users() -> None:
    rows = [("u2", "b", 1, 0.9), ("u2", "a", 2, 0.1), ("u1", "c", 1, 0.5)]
    lists = pl.DataFrame(rows, schema=["user_id", "item_id", "rank", "score"], orient="row")
    top = top_of(lists, pl.Series(["u1", "u2", "unknown"]), pl.Series(["a", "b", "c"]), 2)
    assert top.rows.tolist() == [[2, -1], [1, 0], [-1, -1]]


def test_a_process_that_ends_is_an_error_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEFEED_RECTOOLS_PYTHON", sys.executable)  # this environment has no RecTools
    with pytest.raises(PeerFailed, match=r"ended and logged ModuleNotFoundError: No module named '(rectools|pytorch_)"):
        build("sasrec", {}, seed=7, threads=1).fit(blocks())


def test_settings_are_read_by_method() -> None:
    assert parsed(["ials.embedding_size=32", "ials.alpha=2"]) == {"ials": {"embedding_size": 32, "alpha": 2}}
    assert build("ials", {"embedding_size": "32"}, seed=7, threads=1).config.embedding_size == 32


@pytest.mark.parametrize("wrong", ["ials", "ials=3", "als.alpha=3", "alpha=3"])
def test_a_setting_of_another_form_is_refused(wrong: str) -> None:
    with pytest.raises(UnknownMethod, match=f"--set {wrong}: write METHOD.FIELD=VALUE"):
        parsed([wrong])


def test_a_setting_that_the_method_lacks_is_named() -> None:
    with pytest.raises(
        UnknownMethod, match=r"ials.depth: Extra inputs are not permitted; see the fields of IalsConfig"
    ):
        build("ials", {"depth": 3}, seed=7, threads=1)


def test_a_method_that_trains_in_epochs_has_a_curve() -> None:
    params = {"encoder": "sequence", "minutes": 0.05, "sequence": {"embedding_size": 8, "heads": 2, "epochs": 2}}
    job = FitJob("two_tower", params, dated(blocks()), pl.Series(["u0"]), 3, seed=7, threads=1)
    done = fit(job)
    assert len(done.curves["loss"]) == len(done.curves["validation_ndcg"]) >= 1
    assert np.isfinite(done.curves["loss"]).all()
    assert done.chosen["encoder"] == "sequence"
    np.testing.assert_array_equal(fit(job).curves["loss"], done.curves["loss"])
    assert fit(FitJob("item_knn", {}, blocks(), pl.Series(["u0"]), 3, seed=7, threads=1)).curves == {}


def test_a_setting_of_a_part_is_named_with_dots() -> None:
    overrides = parsed(["two_tower.sequence.layers=1", "two_tower.sequence.heads=2", "two_tower.minutes=3"])
    assert overrides == {"two_tower": {"sequence": {"layers": 1, "heads": 2}, "minutes": 3}}
    assert build("two_tower", overrides["two_tower"], seed=7, threads=1).config.sequence.heads == 2
