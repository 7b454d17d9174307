"""Impressions in a release: a re-ranker that reads them, on the server and in batch inference."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from contracts import Action
from contracts.errors import ReleaseCorrupt
from ranking.fatigue import DEFAULT_FATIGUE, UserImpressions
from ranking.feature_names import FEATURE_NAMES, IMPRESSION_NAMES
from ranking.rank_users import rank_users
from ranking.reranker import RerankerConfig, train
from ranking.training_pairs import LabelledPairs
from serving.recent_interactions import RecentInteraction
from serving.releases.serialization import ReleaseContents, load_release, write_release
from serving.shown_items import shown_before
from tests.serving.tiny import AS_OF, N_ITEMS, N_USERS, contents

NAMES = (*FEATURE_NAMES, *IMPRESSION_NAMES)
OFTEN_CLICKED = 17
FIRST_USER = np.array([0], np.int32)


def ranker(folder: Path) -> Path:
    """Likes items that are often clicked where they are shown, unless the user has been shown them."""
    rows = np.random.default_rng(1).random((600, len(NAMES)), np.float32)
    rows[:, -3] = np.random.default_rng(2).integers(0, 2, len(rows))
    labels = ((rows[:, -1] > 0.5) & (rows[:, -3] == 0)).astype(np.int32)
    pairs = LabelledPairs(rows, labels, np.repeat(np.arange(20, dtype=np.int32), 30))
    config = RerankerConfig(
        rounds=20, models=1, feature_share=1, pair_share=1, negative_share=1, min_leaf_pairs=10, retrieval_weight=0
    )
    train([pairs], config, NAMES).reranker.save(folder / "impressions.txt")
    return folder / "impressions.txt"


def shown_contents(folder: Path) -> ReleaseContents:
    rates = np.zeros(N_ITEMS, np.float32)
    rates[OFTEN_CLICKED] = 0.9
    nothing = UserImpressions(np.zeros(N_USERS + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))
    known = replace(nothing, hours=np.zeros(0), click_rates=rates)
    return replace(contents(folder), ranker=ranker(folder), impressions=known)


def test_an_item_that_is_often_clicked_comes_first_and_scores_less_once_the_user_was_shown_it(tmp_path: Path) -> None:
    write_release(shown_contents(tmp_path), tmp_path / "release")
    release = load_release(tmp_path / "release")
    ranked = rank_users(release.ranking_snapshot, release.reranker, FIRST_USER, 5)
    assert ranked.candidates.item_rows[ranked.slates.pairs][0] == OFTEN_CLICKED
    liked = ranked.scores.max()
    at = AS_OF + timedelta(hours=1)
    posted = RecentInteraction(str(release.items.ids[OFTEN_CLICKED]), Action.IMPRESSION, at, at)
    no_fatigue = DEFAULT_FATIGUE.model_copy(update={"discount": 0, "limit": 0})
    shown = shown_before(release, FIRST_USER, [[posted]], no_fatigue, AS_OF + timedelta(hours=2))
    ranked = rank_users(release.ranking_snapshot, release.reranker, FIRST_USER, 5, shown=shown)
    place = ranked.candidates.item_rows.tolist().index(OFTEN_CLICKED)
    assert ranked.features[place, -3:].tolist() == pytest.approx([1, 0, 0.9])
    assert ranked.scores[place] < liked


def test_a_release_without_the_impressions_that_its_re_ranker_reads_is_refused(tmp_path: Path) -> None:
    whole = shown_contents(tmp_path)
    write_release(replace(whole, impressions=None), tmp_path / "without")
    with pytest.raises(ReleaseCorrupt, match="the re-ranker reads impressions, but there is no such file; publish"):
        load_release(tmp_path / "without")
    assert whole.impressions is not None
    other = replace(whole.impressions, click_rates=np.zeros(3, np.float32))
    write_release(replace(whole, impressions=other), tmp_path / "other")
    with pytest.raises(ReleaseCorrupt, match=r"impressions.safetensors is of 3 items; publish again"):
        load_release(tmp_path / "other")
