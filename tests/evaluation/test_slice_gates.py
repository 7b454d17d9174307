"""No language and no region may lose much against the champion, and chance alone refuses nothing."""

import numpy as np
import pytest

from contracts.errors import GateRefused
from evaluation import GateConfig, judge, require
from tests.evaluation.builders import measured

EN, PT, RJ = 60, 30, 5
LANGUAGES = np.array(["en"] * EN + ["pt"] * PT + ["de"] * RJ)
ALL = len(LANGUAGES)
BEFORE = np.full(ALL, 0.4)
CONFIG = GateConfig(
    must_beat=(), retrieval_must_beat=(), reranked_must_beat=(), judged_slices=("language",), max_champion_loss=1
)


def judged(ndcg, groups=LANGUAGES, before=BEFORE, **settings):
    champion = measured("champion", before)
    config = CONFIG.model_copy(update=settings)
    return judge(measured("final", ndcg), [champion], champion=champion, slices={"language": groups}, config=config)


def with_pt(*values):
    """Everyone else gains a little, the readers of Portuguese get these in turn."""
    ndcg = BEFORE + 0.05
    ndcg[EN : EN + PT] = np.resize(values, PT)
    return ndcg


def test_a_language_that_loses_is_refused_though_the_mean_gains():
    verdicts = judged(with_pt(0.3))
    assert np.mean(with_pt(0.3)) > 0.4
    assert [verdict.gate for verdict in verdicts.failed] == ["language_keeps_up"]
    assert (verdicts.failed[0].measured, verdicts.failed[0].wanted) == pytest.approx((0.3, 0.32))
    with pytest.raises(GateRefused) as refused:
        require(verdicts)
    assert str(refused.value).endswith(
        "language: pt (30 people) 0.3000, the champion 0.4000: -0.100 [-0.100, -0.100]; "
        "nobody may lose more than 20% of the champion's ndcg_at_20"
    )


def test_a_loss_within_the_share_passes_and_the_share_is_a_setting():
    assert judged(with_pt(0.33)).passed
    assert not judged(with_pt(0.33), max_slice_loss=0.1).passed


def test_a_loss_that_may_be_chance_refuses_nothing():
    # a quarter less in the mean, of people who swing between nothing and twice as much
    swings = with_pt(0, 0, 0, 0.8, 0.7)
    assert np.mean(swings[EN : EN + PT]) == pytest.approx(0.3)
    assert judged(swings).passed


def test_the_more_groups_the_surer_a_loss_must_be():
    # 60 people lose 0.12 in the mean with a spread of 0.4: beyond 95 % alone, not as one of twenty
    losing = 0.4 - 0.12 + np.tile([-0.4, 0.4], 30)
    rest = np.full(19 * 20, 0.4)
    groups = np.concatenate([np.repeat("hit", 60), np.repeat([f"g{n}" for n in range(19)], 20)])
    assert not judged(losing, np.repeat("hit", 60), np.full(60, 0.4)).passed
    everyone = np.concatenate([losing, rest])
    assert judged(everyone, groups, np.full(len(groups), 0.4)).passed


def test_few_people_alone_are_no_group():
    ndcg = BEFORE + 0.05
    ndcg[EN + PT :] = 0
    assert judged(ndcg).passed


def test_small_groups_are_judged_together_where_they_are_many():
    groups = np.array(["en"] * EN + [f"few-{person // 9}" for person in range(ALL - EN)])
    ndcg = BEFORE + 0.05
    ndcg[EN:] = 0.2
    verdicts = judged(ndcg, groups)
    assert [verdict.gate for verdict in verdicts.failed] == ["language_keeps_up"]
    assert "other (35 people) 0.2000, the champion 0.4000" in verdicts.failed[0].sentence


def test_no_group_large_enough_is_said_and_not_judged():
    verdicts = judged(np.zeros(ALL), min_slice_users=ALL + 1)
    assert verdicts.passed
    assert verdicts.notes == (f"no language has {ALL + 1} measured people, nobody's loss is judged",)


def test_without_a_champion_no_slice_is_judged():
    slices = {"language": LANGUAGES}
    assert [
        verdict.gate for verdict in judge(measured("final", BEFORE), [], slices=slices, config=CONFIG).verdicts
    ] == ["finite_metrics"]


def test_unchanged_nights_are_hardly_ever_refused():
    """Two hundred nights by two recipes of the same quality: 70 people, six regions, no one at a disadvantage."""
    random = np.random.default_rng(5)
    config = CONFIG.model_copy(update={"judged_slices": ("region",), "min_slice_users": 20})
    regions = np.array(["SP"] * 25 + ["MG"] * 22 + ["a", "b", "c", "d"] * 6)
    refused = 0
    for _ in range(200):
        champion = measured("champion", random.beta(0.5, 0.9, 71))
        final = measured("final", np.clip(champion.per_user["ndcg_at_20"] + random.normal(0, 0.2, 71), 0, 1))
        refused += not judge(final, [], champion=champion, slices={"region": regions}, config=config).passed
    assert refused <= 8
