"""The sentences that report a comparison."""

from benchmarks.summary_text import sentences


def interval(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def run(**gains: dict[str, float]) -> dict:
    """Ours beside peers; recall and NDCG differ alike."""
    return {
        "k": 10,
        "methods": {"two_tower": {}, **{name: {} for name in gains}},
        "gains": {name: {"recall_at_10": gain, "ndcg_at_10": gain} for name, gain in gains.items()},
        "skipped": {},
    }


def test_losses_are_reported_first() -> None:
    summary = sentences(run(bpr=interval(0.02, 0.01), ease=interval(-0.03, 0.01), ials=interval(0.001, 0.01)))
    assert summary == [
        "**We do not win**: `two_tower` is below `ease` in Recall@10 by -0.0300 [-0.0400, -0.0200] "
        "and NDCG@10 by -0.0300 [-0.0400, -0.0200].",
        "**We do not win**: these users cannot distinguish `two_tower` from `ials` in Recall@10 by +0.0010 "
        "[-0.0090, +0.0110] and NDCG@10 by +0.0010 [-0.0090, +0.0110].",
        "`two_tower` is above `bpr` in Recall@10 by +0.0200 [+0.0100, +0.0300] "
        "and NDCG@10 by +0.0200 [+0.0100, +0.0300].",
    ]


def test_a_run_without_us_claims_nothing() -> None:
    without = run(ease=interval(0, 1)) | {"methods": {"ease": {}}, "gains": {}}
    assert sentences(without) == ["`two_tower` was not in this run: there is no result for it."]


def test_a_method_left_out_is_reported_with_the_reason() -> None:
    assert sentences(run() | {"skipped": {"ease": "40,981 items"}}) == ["`ease` was left out: 40,981 items."]


def test_published_figures_are_reported_first_and_a_tie_is_no_win() -> None:
    figures = {"recall_at_20": 0.19, "ndcg_at_20": 0.158}
    summary = sentences(run() | {"dataset": "gowalla", "methods": {"two_tower": {"figures": figures}}})
    assert summary == [
        "**We do not win**: `two_tower` is not above the published NDCG@20 of 0.1580 (UltraGCN, BARS leaderboard), "
        "with 0.1580.",
        "**We do not win**: `two_tower` is not above the published NDCG@20 of 0.1617 (NESCL, Sun et al. 2024), "
        "with 0.1580.",
        "**We do not win**: `two_tower` is not above the published Recall@20 of 0.1941 (ChebyCF, Kim et al. 2025), "
        "with 0.1900.",
        "`two_tower` is above the published Recall@20 of 0.1872 (SimpleX, BARS leaderboard), with 0.1900.",
    ]


def test_a_baseline_that_validates_better_is_named_before_the_gains() -> None:
    selection = {"selected": "svd", "encoders": {"svd": 0.1}, "baselines": {"ials": 0.2}, "beaten_by": ["ials"]}
    run_ = run() | {"methods": {"two_tower": {"chosen": {"selection": selection}}}}
    assert sentences(run_) == [
        "**We do not win on validation**: the selected encoder of `two_tower` has NDCG 0.1000, `ials` 0.2000."
    ]
