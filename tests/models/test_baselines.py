from datetime import timedelta

import numpy as np
import pytest

from evaluation import RankedLists, hold_out, item_sets, top_k
from models.baselines import SCORERS, night_baselines
from models.baselines.baseline_registry import NightScorer
from models.baselines.item_similarity import ItemKnnConfig
from models.baselines.matrix_factorization import IalsConfig
from models.baselines.popularity import MostPopular, NewestFirst
from tests.evaluation.builders import CUTOFF, catalogue, events


def rows(*numbers):
    return np.array(numbers, dtype=np.int32)


NOTHING_SEEN = item_sets(rows(), rows(), users=3)
ALL = np.ones(4, dtype=bool)


def test_newest_first_by_creation_else_by_first_event():
    # item 1 has no creation time and was first seen 2 days ago; item 3 has neither
    log = events([(0, 1, -2, 1), (0, 1, -1, 1)], users=3, items=4)
    model = NewestFirst().fit(log, catalogue([-3, None, -1, None]), CUTOFF)
    assert model.recommend(rows(0), 4, rankable=ALL, seen=NOTHING_SEEN).rows.tolist() == [[2, 1, 0, 3]]


def test_most_popular_counts_clicks_and_saves_of_its_days():
    log = events(
        [(0, 0, -6, 1), (1, 0, -5, 2), (2, 0, -8, 1), (0, 1, -0.5, 1), (0, 2, -0.5, 0), (1, 2, -9, 1), (0, 2, -9, 1)],
        users=3,
        items=4,
    )
    items = catalogue([-9, -8, -7, -6])
    order = {
        d: MostPopular(d).fit(log, items, CUTOFF).recommend(rows(2), 4, rankable=ALL, seen=NOTHING_SEEN)
        for d in (1, 7, 28)
    }
    assert order[1].rows.tolist() == [[1, 3, 2, 0]]  # one click on 1, then by age: a hide of 2 is no popularity
    assert order[7].rows.tolist() == [[0, 1, 3, 2]]
    assert order[28].rows.tolist() == [[0, 2, 1, 3]]


def random_log(users=40, items=30, size=400, seed=0):
    rng = np.random.default_rng(seed)
    draws = zip(rng.integers(0, users - 1, size), rng.integers(0, items, size), -rng.random(size) * 40, strict=True)
    return events([(u, i, when, 1 + i % 2) for u, i, when in draws], users=users, items=items)


BASELINES = night_baselines(seed=7)


class TestEveryBaseline:
    """What the night relies on, whatever the baseline."""

    @pytest.fixture(params=BASELINES, ids=lambda baseline: baseline.name)
    def baseline(self, request):
        return request.param

    def ask(self, baseline, k=10, users=None, rankable=None):
        log = random_log()
        model = baseline.fit(log, catalogue([-(item + 1.0) for item in range(30)]), CUTOFF)
        users = np.arange(40, dtype=np.int32) if users is None else users
        mask = np.ones(30, dtype=bool) if rankable is None else rankable
        return model.recommend(users, k, rankable=mask, seen=log.interacted), log

    def test_never_shows_what_was_seen_or_cannot_be_ranked(self, baseline):
        rankable = np.arange(30) % 3 > 0
        ranked, log = self.ask(baseline, k=30, rankable=rankable)
        shown = ranked.rows[ranked.filled]
        assert rankable[shown].all()
        owners = np.nonzero(ranked.filled)[0]
        seen = set(zip(log.user_rows.tolist(), log.item_rows.tolist(), strict=True))
        assert not seen & set(zip(owners.tolist(), shown.tolist(), strict=True))

    def test_k_beyond_the_catalogue_is_padded(self, baseline):
        ranked, _ = self.ask(baseline, k=50)
        assert ranked.rows.shape == (40, 50)
        assert (ranked.rows[:, 30:] == -1).all()

    def test_same_input_same_lists_and_users_do_not_depend_on_the_rest_of_the_batch(self, baseline):
        of_all, _ = self.ask(baseline)
        assert (self.ask(baseline)[0].rows == of_all.rows).all()
        of_two, _ = self.ask(baseline, users=rows(17, 3))
        assert (of_two.rows == of_all.rows[[17, 3]]).all()

    def test_small_chunks_give_the_same_lists(self, baseline, monkeypatch):
        of_all, _ = self.ask(baseline)
        monkeypatch.setattr(top_k, "CHUNK_SCORES", 64)
        assert (self.ask(baseline)[0].rows == of_all.rows).all()

    def test_a_user_without_history_gets_a_list(self, baseline):
        ranked, _ = self.ask(baseline, users=rows(39))
        assert ranked.filled.all()

    def test_no_users_or_nothing_can_be_ranked(self, baseline):
        assert self.ask(baseline, users=rows())[0].rows.shape == (0, 10)
        nothing, _ = self.ask(baseline, rankable=np.zeros(30, dtype=bool))
        assert not nothing.filled.any()

    def test_an_empty_history_falls_back_to_something_listable(self, baseline):
        empty = events([], users=3, items=4)
        model = baseline.fit(empty, catalogue([-4, -3, -2, -1]), CUTOFF)
        assert model.recommend(rows(0, 2), 2, rankable=ALL, seen=empty.interacted).rows.tolist() == [[3, 2], [3, 2]]


SCORED = [
    NightScorer("item_knn", ItemKnnConfig(neighbours=5), keep_zeros=False),
    NightScorer("ials", IalsConfig(embedding_size=4)),
    NightScorer("bpr", SCORERS["bpr"].config(embedding_size=4)),
    NightScorer("ease", SCORERS["ease"].config(regularization=1.0)),
]


@pytest.mark.parametrize("learner", SCORED, ids=lambda scorer: scorer.name)
def test_learners_find_the_other_half_of_a_taste(learner):
    # users like either the items 0-3 or 4-7; user 0 has not seen 3, user 10 not 7
    cold = {(0, 3), (10, 7)}
    pairs = [(u, i) for u in range(20) for i in (range(4) if u < 10 else range(4, 8)) if (u, i) not in cold]
    log = events([(u, i, -1, 1) for u, i in pairs], users=20, items=8)
    model = learner.fit(log, catalogue([-5] * 8), CUTOFF)
    ranked = model.recommend(rows(0, 10), 1, rankable=np.ones(8, dtype=bool), seen=log.interacted)
    assert ranked.rows.tolist() == [[3], [7]]


def test_item_knn_lists_only_neighbours_of_the_history():
    log = events([(0, 0, -1, 1), (1, 0, -1, 1), (1, 1, -1, 1), (2, 2, -1, 1), (2, 3, -1, 1)], users=3, items=4)
    model = NightScorer("item_knn", ItemKnnConfig(), keep_zeros=False).fit(log, catalogue([-5] * 4), CUTOFF)
    assert model.recommend(rows(0), 3, rankable=ALL, seen=log.interacted).rows.tolist() == [[1, -1, -1]]


def test_equal_scores_go_to_the_lower_row():
    def flat(users):
        return np.zeros((len(users), 4), dtype=np.float32)

    ranked = top_k.best_unseen(flat, rows(0), 3, rankable=ALL, seen=NOTHING_SEEN)
    assert ranked.rows.tolist() == [[0, 1, 2]]


def test_the_night_measures_six():
    names = [baseline.name for baseline in BASELINES]
    assert names == ["newest_first", "popular_1d", "popular_7d", "popular_28d", "item_knn", "ials"]


def test_nothing_after_the_cutoff_changes_a_list():
    before = random_log()
    after = [(5, item, 0.0, 2) for item in range(30)]
    log = events([*zip(before.user_rows, before.item_rows, ages(before), before.gains, strict=True), *after], 40, 30)
    items = catalogue([-(item + 1.0) for item in range(30)])
    for baseline in BASELINES:
        answers = [answer(baseline, hold_out(each, items, CUTOFF), items) for each in (log, before)]
        assert (answers[0].rows == answers[1].rows).all()


def answer(baseline, holdout, items) -> RankedLists:
    model = baseline.fit(holdout.history, items, holdout.cutoff)
    of_all = np.arange(40, dtype=np.int32)
    return model.recommend(of_all, 10, rankable=holdout.rankable, seen=holdout.history.interacted)


def ages(log):
    cutoff = np.datetime64(CUTOFF.replace(tzinfo=None), "us")
    return (log.timestamps - cutoff).astype(np.int64) / timedelta(days=1).total_seconds() / 1e6
