import math

import numpy as np
import pytest
from pydantic import ValidationError

from contracts.errors import BadEvaluationInput, GateRefused
from evaluation import GateConfig, MethodMetrics, WeekMetrics, judge, judge_alone, require
from evaluation.gates import Verdict, Verdicts
from tests.evaluation.builders import measured

USERS = 40
WEAK = np.linspace(0, 0.6, USERS)
BASELINES = [measured(name, WEAK) for name in ("newest_first", "popular_1d", "popular_7d", "popular_28d")]
ITEM_KNN = measured("item_knn", WEAK)
STEPS = [ITEM_KNN, measured("two_tower", WEAK + 0.02), measured("reranked", WEAK + 0.04)]
OTHERS = [*BASELINES, *STEPS]
ONE = GateConfig(must_beat=("newest_first",), retrieval_must_beat=(), reranked_must_beat=())
BETTER = measured("final", WEAK + 0.05)


def failed(verdicts):
    return [verdict.gate for verdict in verdicts.failed]


def test_a_ranking_above_every_baseline_passes():
    verdicts = judge(BETTER, OTHERS, index_recall=1.0)
    require(verdicts)
    assert verdicts.passed
    assert verdicts.judged
    assert [verdict.gate for verdict in verdicts.verdicts] == [
        "finite_metrics",
        "index_recall",
        "two_tower_beats_popular_28d",
        "two_tower_beats_item_knn",
        "reranked_beats_two_tower",
        "final_beats_newest_first",
        "final_beats_popular_1d",
        "final_beats_popular_7d",
        "final_beats_popular_28d",
    ]
    assert verdicts.verdicts[5].sentence == (
        "ndcg_at_20 0.3500 of final against 0.3000 of newest_first: +0.050 [+0.050, +0.050]"
    )


def test_a_ranking_that_does_not_beat_newest_first_is_refused():
    strong = measured("newest_first", WEAK + 0.06)
    verdicts = judge(BETTER, [strong, *OTHERS[1:]])
    assert failed(verdicts) == ["final_beats_newest_first"]
    with pytest.raises(GateRefused) as refused:
        require(verdicts)
    assert str(refused.value) == (
        "the release is refused, the old one keeps serving: ndcg_at_20 0.3500 of final against 0.3600 of newest_first: "
        "-0.010 [-0.010, -0.010]; a gain above 0 and no loss beyond 0.1 are asked for"
    )


def test_an_equal_ranking_is_refused():
    assert failed(judge(measured("final", WEAK), OTHERS)) == [f"final_beats_{each.name}" for each in BASELINES]


def test_a_gain_that_may_as_well_be_a_large_loss_is_refused():
    # half the users lose 0.5 and half gain 0.55: the mean is above by 0.025, the interval reaches below -0.1
    gamble = measured("final", WEAK + np.tile([-0.5, 0.55], USERS // 2))
    assert failed(judge(gamble, BASELINES[:1], config=ONE)) == ["final_beats_newest_first"]
    assert judge(gamble, BASELINES[:1], config=ONE.model_copy(update={"max_loss": 0.3})).passed


def test_min_gain_asks_for_more():
    assert not judge(BETTER, OTHERS, config=ONE.model_copy(update={"min_gain": 0.06})).passed
    assert judge(BETTER, OTHERS, config=ONE.model_copy(update={"min_gain": 0.04})).passed


def test_a_baseline_that_was_not_measured_cannot_be_beaten():
    verdicts = judge(BETTER, OTHERS[1:])
    assert failed(verdicts) == ["final_beats_newest_first"]
    with pytest.raises(GateRefused, match="newest_first was not measured; measure it, or drop it from must_beat"):
        require(verdicts)


def test_metrics_that_are_no_numbers_are_refused():
    verdicts = judge(measured("final", WEAK + 0.05, coverage_at_20=math.nan), OTHERS)
    assert failed(verdicts) == ["finite_metrics"]
    with pytest.raises(GateRefused, match="1 metrics are no numbers: coverage_at_20"):
        require(verdicts)


def test_users_that_are_all_nan_are_refused_even_as_the_first_release():
    broken = measured("final", np.full(USERS, np.nan))
    assert failed(judge(broken, BASELINES)) == ["finite_metrics"]


class TestRetrievalAlone:
    """Retrieval may serve without the re-ranker if it also beats what a served list must beat."""

    def alone(self, others, **settings):
        week = {"users": np.arange(USERS), "rehearsals": (), "index_recall": 1.0}
        return judge_alone(others, **week, config=GateConfig(**settings))

    def test_it_passes_its_own_gates_and_those_of_the_final_list(self):
        verdicts = self.alone([*OTHERS, BETTER])
        assert verdicts.passed
        assert [verdict.gate.removeprefix("two_tower_beats_") for verdict in verdicts.verdicts] == [
            *("finite_metrics", "index_recall", "popular_28d", "item_knn"),
            *("newest_first", "popular_1d", "popular_7d"),
        ]

    def test_a_list_that_is_worse_than_newest_first_does_not(self):
        strong = measured("newest_first", WEAK + 0.03)
        assert failed(self.alone([strong, *OTHERS[1:]])) == ["two_tower_beats_newest_first"]

    def test_its_own_steps_are_no_baselines(self):
        assert failed(self.alone(OTHERS, must_beat=("two_tower", "reranked"))) == []


class TestEachStepIsHeldToAccount:
    def test_retrieval_that_does_not_beat_item_knn_is_refused(self):
        strong = measured("item_knn", WEAK + 0.03)
        verdicts = judge(BETTER, [*BASELINES, strong, *STEPS[1:]])
        assert failed(verdicts) == ["two_tower_beats_item_knn"]
        with pytest.raises(GateRefused, match=r"0.3200 of two_tower against 0.3300 of item_knn: -0.010"):
            require(verdicts)

    def test_retrieval_that_does_not_beat_the_most_popular_is_refused(self):
        weak = measured("two_tower", WEAK - 0.01)
        assert failed(judge(BETTER, [*BASELINES, ITEM_KNN, weak, STEPS[2]])) == [
            "two_tower_beats_popular_28d",
            "two_tower_beats_item_knn",
        ]

    def test_re_ranking_that_is_no_better_than_retrieval_alone_is_refused(self):
        for worse in (WEAK + 0.02, WEAK):
            verdicts = judge(BETTER, [*OTHERS[:-1], measured("reranked", worse)])
            assert failed(verdicts) == ["reranked_beats_two_tower"]

    def test_weeks_before_the_nights_own_count_the_same(self):
        # 0.01 worse on the night's own week, 0.04 and 0.06 better on the two before it, each of other users
        worse = [*OTHERS[:-1], measured("reranked", WEAK + 0.01)]
        assert failed(judge(BETTER, worse)) == ["reranked_beats_two_tower"]
        weeks = [
            WeekMetrics(
                np.arange(100 * number, 100 * number + 10),
                [measured("two_tower", np.full(10, 0.2)), measured("reranked", np.full(10, 0.2 + gain))],
            )
            for number, gain in ((1, 0.04), (2, 0.06))
        ]
        verdicts = judge(BETTER, worse, users=np.arange(USERS), rehearsals=weeks)
        assert verdicts.passed
        verdict = next(each for each in verdicts.verdicts if each.gate == "reranked_beats_two_tower")
        assert (verdict.measured, verdict.wanted) == pytest.approx(((0.31 + 0.24 + 0.26) / 3, (0.32 + 0.2 + 0.2) / 3))
        assert "of two_tower over 3 weeks: +0.030" in verdict.sentence
        retrieval = next(each for each in verdicts.verdicts if each.gate == "two_tower_beats_item_knn")
        assert "weeks" not in retrieval.sentence, "item_knn was measured on the night's own week alone"

    def test_a_week_without_users_is_left_out(self):
        nothing = [MethodMetrics(each.name, 0, {"ndcg_at_20": np.zeros(0)}, {}) for each in (*OTHERS, BETTER)]
        verdicts = judge(BETTER, OTHERS, users=np.arange(USERS), rehearsals=[WeekMetrics(np.arange(0), nothing)])
        assert verdicts.verdicts == judge(BETTER, OTHERS, users=np.arange(USERS), rehearsals=()).verdicts

    def test_a_step_that_was_not_measured_has_beaten_nothing(self):
        verdicts = judge(BETTER, OTHERS[:-1])
        assert failed(verdicts) == ["reranked_beats_two_tower"]
        with pytest.raises(
            GateRefused, match="reranked was not measured; measure it, or drop it from reranked_must_beat"
        ):
            require(verdicts)

    def test_the_baseline_that_a_step_must_beat_is_a_setting(self):
        config = GateConfig(retrieval_must_beat=(), reranked_must_beat=())
        assert judge(BETTER, BASELINES, config=config).passed


@pytest.mark.parametrize("recall", [0.949, math.nan])
def test_an_index_that_finds_too_little_is_refused(recall):
    verdicts = judge(BETTER, OTHERS, index_recall=recall)
    assert failed(verdicts) == ["index_recall"]
    with pytest.raises(GateRefused, match=r"of the exact top 100, 95.0% are asked for"):
        require(verdicts)


def test_an_index_that_finds_just_enough_passes():
    assert judge(BETTER, OTHERS, index_recall=0.95).passed


def test_just_enough_users_are_judged():
    assert judge(BETTER, OTHERS, config=GateConfig(min_users=USERS)).judged
    assert not judge(BETTER, OTHERS, config=GateConfig(min_users=USERS + 1)).judged


def test_the_champion_may_be_missed_by_a_share_and_no_more():
    # 0.35 against 0.38 is 8 % less, against 0.40 it is 12.5 %
    assert judge(BETTER, OTHERS, champion=measured("champion", WEAK + 0.08)).passed
    verdicts = judge(BETTER, OTHERS, champion=measured("champion", WEAK + 0.10))
    assert failed(verdicts) == ["keeps_up_with_champion"]
    with pytest.raises(GateRefused, match=r"0.3500, the champion has 0.4000 on the same rows, 0.3600 are asked for"):
        require(verdicts)


class TestListsDiffer:
    @staticmethod
    def verdicts(overlap, config=ONE, coverage=0.02):
        newest, final = (
            measured(name, ndcg, inter_user_overlap_at_10=shared, top4_first_share=0.98, coverage_at_20=coverage)
            for name, ndcg, shared in (("newest_first", WEAK, 0.9), ("final", WEAK + 0.05, overlap))
        )
        return judge(final, [newest], config=config)

    def test_lists_that_are_alike_are_refused_with_both_numbers_beside_newest_first(self):
        verdicts = self.verdicts(0.66)
        assert failed(verdicts) == ["lists_differ"]
        assert (verdicts.failed[0].measured, verdicts.failed[0].wanted) == (0.66, 0.6)
        with pytest.raises(GateRefused) as refused:
            require(verdicts)
        assert str(refused.value).endswith(
            "two users share 66.0% of their first 10 items (newest_first: 90.0%), "
            "4 items hold 98.0% of first places (newest_first: 98.0%); an overlap of at most 60.0% is asked for"
        )

    def test_the_largest_overlap_is_a_setting(self):
        assert self.verdicts(0.6).passed
        assert self.verdicts(0.66, ONE.model_copy(update={"max_overlap": 0.7})).passed

    def test_lists_that_hold_half_of_a_small_catalogue_are_not_judged(self):
        assert [verdict.gate for verdict in self.verdicts(0.9, coverage=0.5).verdicts] == [
            "finite_metrics",
            "final_beats_newest_first",
        ]

    def test_a_single_list_is_not_judged(self):
        assert judge(BETTER, BASELINES[:1], config=ONE).passed


class TestTooFewUsers:
    FEW = measured("final", [0.1] * 19)
    ABOVE = tuple(measured(each.name, [0.9] * 19) for each in BASELINES)

    def test_nothing_is_compared_and_an_unjudged_release_may_follow_none_or_another(self):
        verdicts = judge(self.FEW, self.ABOVE)
        require(verdicts)
        assert not verdicts.judged
        assert [verdict.gate for verdict in verdicts.verdicts] == ["finite_metrics"], "too few users are no pass"
        assert verdicts.notes == (
            "19 measured users are too few to compare rankings (20 are asked for): the release is unmeasured",
        )

    def test_no_user_at_all_is_no_pass_either(self):
        verdicts = judge(MethodMetrics("final", 0, {"ndcg_at_20": np.zeros(0)}, {}), [])
        assert (verdicts.verdicts, verdicts.judged) == ((), False)
        assert verdicts.notes[0].startswith("0 measured users are too few")

    def test_it_never_replaces_a_judged_one(self):
        verdicts = judge(self.FEW, self.ABOVE, judged_release_serves=True)
        with pytest.raises(
            GateRefused, match=r"19 measured users are too few to compare rankings \(20 are asked for\)"
        ):
            require(verdicts)

    def test_the_index_is_still_measured(self):
        assert failed(judge(self.FEW, self.ABOVE, index_recall=0.5)) == ["index_recall"]

    @pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value encountered")
    def test_no_user_to_measure_is_no_broken_metric(self):
        assert judge(measured("final", []), []).passed


def test_a_metric_without_measurement_is_an_error_not_a_pass():
    with pytest.raises(
        BadEvaluationInput, match="final has no metric ndcg_at_5; measure it, or compare one of ndcg_at_20"
    ):
        judge(BETTER, OTHERS, config=GateConfig(metric="ndcg_at_5"))


def test_the_config_refuses_unknown_fields():
    with pytest.raises(ValidationError, match="min_gian"):
        GateConfig(min_gian=0.1)


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
    """All other users gain a little, the readers of Portuguese get these in turn."""
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
        "language: pt (30 users) 0.3000, the champion 0.4000: -0.100 [-0.100, -0.100]; "
        "no segment may lose more than 20% of the champion's ndcg_at_20"
    )


def test_a_loss_within_the_share_passes_and_the_share_is_a_setting():
    assert judged(with_pt(0.33)).passed
    assert not judged(with_pt(0.33), max_slice_loss=0.1).passed


def test_a_loss_that_may_be_chance_refuses_nothing():
    # a quarter less in the mean, of users who swing between nothing and twice as much
    swings = with_pt(0, 0, 0, 0.8, 0.7)
    assert np.mean(swings[EN : EN + PT]) == pytest.approx(0.3)
    assert judged(swings).passed


def test_the_more_groups_the_surer_a_loss_must_be():
    # 60 users lose 0.12 in the mean with a spread of 0.4: beyond 95 % alone, not as one of twenty
    losing = 0.4 - 0.12 + np.tile([-0.4, 0.4], 30)
    rest = np.full(19 * 20, 0.4)
    groups = np.concatenate([np.repeat("hit", 60), np.repeat([f"g{n}" for n in range(19)], 20)])
    assert not judged(losing, np.repeat("hit", 60), np.full(60, 0.4)).passed
    all_users = np.concatenate([losing, rest])
    assert judged(all_users, groups, np.full(len(groups), 0.4)).passed


def test_few_users_alone_are_no_group():
    ndcg = BEFORE + 0.05
    ndcg[EN + PT :] = 0
    assert judged(ndcg).passed


def test_small_groups_are_judged_together_where_they_are_many():
    groups = np.array(["en"] * EN + [f"few-{row // 9}" for row in range(ALL - EN)])
    ndcg = BEFORE + 0.05
    ndcg[EN:] = 0.2
    verdicts = judged(ndcg, groups)
    assert [verdict.gate for verdict in verdicts.failed] == ["language_keeps_up"]
    assert "other (35 users) 0.2000, the champion 0.4000" in verdicts.failed[0].sentence


def test_no_group_large_enough_is_noted_and_not_judged():
    verdicts = judged(np.zeros(ALL), min_slice_users=ALL + 1)
    assert verdicts.passed
    assert verdicts.notes == (f"no language has {ALL + 1} measured users, no loss is judged",)


def test_without_a_champion_no_slice_is_judged():
    slices = {"language": LANGUAGES}
    assert [
        verdict.gate for verdict in judge(measured("final", BEFORE), [], slices=slices, config=CONFIG).verdicts
    ] == ["finite_metrics"]


def test_unchanged_nights_are_hardly_ever_refused():
    """Two hundred nights by two recipes of the same quality: 70 users, six regions, no one at a disadvantage."""
    random = np.random.default_rng(5)
    config = CONFIG.model_copy(update={"judged_slices": ("region",), "min_slice_users": 20})
    regions = np.array(["SP"] * 25 + ["MG"] * 22 + ["a", "b", "c", "d"] * 6)
    refused = 0
    for _ in range(200):
        champion = measured("champion", random.beta(0.5, 0.9, 71))
        final = measured("final", np.clip(champion.per_user["ndcg_at_20"] + random.normal(0, 0.2, 71), 0, 1))
        refused += not judge(final, [], champion=champion, slices={"region": regions}, config=config).passed
    assert refused <= 8


GOOD = Verdict("index_recall", True, 0.99, 0.95, "passed: the index finds 0.99")
SLOW = Verdict("enough_users", False, 3, 50, "refused: 3 users")
WORSE = Verdict("final_beats_newest_first", False, 0.1, 0.2, "refused: 0.1 of final against 0.2")


def test_all_gates_must_pass() -> None:
    assert Verdicts((GOOD,), judged=True).passed
    assert not Verdicts((GOOD, SLOW), judged=True).passed
    assert Verdicts((), judged=False).passed


def test_the_failed_gates_are_named_in_their_order() -> None:
    assert Verdicts((WORSE, GOOD, SLOW), judged=True).failed == (WORSE, SLOW)


def test_a_refusal_has_the_sentence_of_every_failed_gate_and_of_no_other() -> None:
    with pytest.raises(GateRefused, match=r"0\.1 of final against 0\.2; refused: 3 users$") as refused:
        require(Verdicts((WORSE, GOOD, SLOW), judged=True))
    assert GOOD.sentence not in str(refused.value)


def test_no_failure_is_no_refusal() -> None:
    require(Verdicts((GOOD,), judged=True, notes=("no champion is compared",)))
